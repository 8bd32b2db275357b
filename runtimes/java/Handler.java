package cirrus;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.nio.charset.StandardCharsets;

/**
 * A function's method: of a class that implements RequestHandler or RequestStreamHandler, or any that is
 * named. The interfaces are those in the function's own archive; nothing here is compiled against them.
 */
final class Handler {
    private static final String PACKAGE = "com.amazonaws.services.lambda.runtime.";

    private final Object target;
    private final Method method;
    private final Type[] parameters;
    private final ClassLoader loader;

    /** What is wrong with the handler's name, as AWS words it. */
    static final class Missing extends Exception {
        private static final long serialVersionUID = 1;
        final String type;

        Missing(String message, Class<?> type) {
            super(message);
            this.type = type.getName();
        }
    }

    Handler(ClassLoader loader, String name) throws Throwable {
        int colons = name.indexOf("::");
        String className = colons < 0 ? name : name.substring(0, colons);
        Class<?> c;

        this.loader = loader;
        try {
            c = Class.forName(className, true, loader);
        } catch (ClassNotFoundException e) {
            throw new Missing("Class not found: " + className, ClassNotFoundException.class);
        }
        method = find(c, colons < 0 ? "handleRequest" : name.substring(colons + 2), colons < 0);
        method.setAccessible(true);
        parameters = types(c);
        try {
            target = Modifier.isStatic(method.getModifiers()) ? null : make(c);
        } catch (InvocationTargetException e) {
            throw e.getCause();
        }
    }

    private static Object make(Class<?> c) throws Missing, ReflectiveOperationException {
        try {
            return c.getConstructor().newInstance();
        } catch (NoSuchMethodException e) {
            throw new Missing("Class " + c.getName() + " has no public zero-argument constructor",
                NoSuchMethodException.class);
        }
    }

    private static boolean implementsAny(Class<?> c, String... names) {
        for (Class<?> at = c; at != null; at = at.getSuperclass())
            for (Class<?> i : at.getInterfaces())
                for (String name : names)
                    if (i.getName().equals(PACKAGE + name) || implementsAny(i, name))
                        return true;
        return false;
    }

    /** Of several by the name the one with the most parameters, a Context last; no bridges. */
    private static Method find(Class<?> c, String name, boolean byInterface) throws Missing {
        Method found = null;

        if (byInterface && !implementsAny(c, "RequestHandler", "RequestStreamHandler"))
            throw new Missing("Class " + c.getName() + " does not implement an appropriate handler interface",
                ClassCastException.class);
        for (Method m : c.getMethods())
            if (m.getName().equals(name) && !m.isBridge() && m.getDeclaringClass() != Object.class
                && (found == null || rank(m) > rank(found)))
                found = m;
        if (found == null || found.getParameterCount() > 3)
            throw new Missing("No public method named " + name
                + " with appropriate method signature found on class " + c.getName(), NoSuchMethodException.class);
        return found;
    }

    private static int rank(Method m) {
        Class<?>[] p = m.getParameterTypes();
        boolean context = p.length > 0 && isContext(p[p.length - 1]);
        return p.length * 2 + (context ? 1 : 0);
    }

    private static boolean isContext(Class<?> c) {
        return c.getName().equals(PACKAGE + "Context");
    }

    /** The parameters, with what a generic superclass leaves open taken from RequestHandler<I, O>. */
    private Type[] types(Class<?> c) {
        Type[] types = method.getGenericParameterTypes();
        for (Class<?> at = c; at != null && types.length > 0 && !(types[0] instanceof Class); at = at.getSuperclass())
            for (Type i : at.getGenericInterfaces())
                if (i instanceof ParameterizedType
                    && ((ParameterizedType) i).getRawType().getTypeName().equals(PACKAGE + "RequestHandler")
                    && types[0] instanceof java.lang.reflect.TypeVariable)
                    types[0] = ((ParameterizedType) i).getActualTypeArguments()[0];
        return types;
    }

    /** Throws what the function throws. */
    byte[] call(byte[] event, Context context) throws Throwable {
        Object[] arguments = new Object[parameters.length];
        Class<?>[] classes = method.getParameterTypes();
        ByteArrayOutputStream output = null;
        Object result;

        for (int i = 0; i < arguments.length; i++) {
            if (isContext(classes[i]))
                arguments[i] = context.proxy(loader, classes[i]);
            else if (classes[i] == InputStream.class)
                arguments[i] = new ByteArrayInputStream(event);
            else if (classes[i] == OutputStream.class)
                arguments[i] = output = new ByteArrayOutputStream();
            else
                arguments[i] = Convert.to(parameters[i],
                    Json.parse(new String(event, StandardCharsets.UTF_8)));
        }
        try {
            result = method.invoke(target, arguments);
        } catch (InvocationTargetException e) {
            throw e.getCause();
        }
        if (output != null)
            return output.toByteArray();
        return Convert.text(method.getReturnType() == void.class ? null : result)
            .getBytes(StandardCharsets.UTF_8);
    }
}
