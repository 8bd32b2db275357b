package cirrus;

import java.lang.reflect.Array;
import java.lang.reflect.Field;
import java.lang.reflect.GenericArrayType;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.lang.reflect.TypeVariable;
import java.lang.reflect.WildcardType;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/** Between JSON's values and the types of a handler: simple ones, collections, arrays, beans. */
final class Convert {
    private static final int DEPTH_MAX = 512;

    private Convert() {
    }

    // ---- from JSON ----

    static Object to(Type type, Object value) throws ReflectiveOperationException {
        if (type instanceof ParameterizedType) {
            ParameterizedType p = (ParameterizedType) type;
            return toClass((Class<?>) p.getRawType(), p.getActualTypeArguments(), value);
        }
        if (type instanceof GenericArrayType)
            return toArray(((GenericArrayType) type).getGenericComponentType(), value);
        if (type instanceof WildcardType)
            return to(((WildcardType) type).getUpperBounds()[0], value);
        if (type instanceof TypeVariable)
            return to(((TypeVariable<?>) type).getBounds()[0], value);
        return toClass((Class<?>) type, new Type[0], value);
    }

    private static IllegalArgumentException mismatch(Type type, Object value) {
        return new IllegalArgumentException("An error occurred during JSON parsing: cannot make a "
            + type.getTypeName() + " of " + (value == null ? "null" : "a JSON " + kind(value)));
    }

    private static String kind(Object value) {
        return value instanceof Map ? "object" : value instanceof List ? "array" : value instanceof String
            ? "string" : value instanceof Number ? "number" : "boolean";
    }

    private static Class<?> raw(Type type) {
        return type instanceof Class ? (Class<?>) type : type instanceof ParameterizedType
            ? (Class<?>) ((ParameterizedType) type).getRawType() : Object.class;
    }

    private static Object toClass(Class<?> c, Type[] arguments, Object value) throws ReflectiveOperationException {
        if (value == null) {
            if (c.isPrimitive())
                throw mismatch(c, null);
            return c == Optional.class ? Optional.empty() : null;
        }
        if (c == Object.class || c == Void.class)
            return c == Void.class ? null : value;
        if (c == String.class || c == CharSequence.class) {
            if (value instanceof Map || value instanceof List)
                throw mismatch(c, value);
            return value.toString();
        }
        if (c == Boolean.class || c == boolean.class) {
            if (value instanceof Boolean)
                return value;
            throw mismatch(c, value);
        }
        if (c.isPrimitive() || Number.class.isAssignableFrom(c) || c == Character.class)
            return toNumber(c, value);
        if (c == Optional.class)
            return Optional.of(to(arguments.length > 0 ? arguments[0] : Object.class, value));
        if (c.isEnum())
            return toEnum(c, value);
        if (c.isArray())
            return toArray(c.getComponentType(), value);
        if (Collection.class.isAssignableFrom(c) || c == Iterable.class)
            return toCollection(c, arguments.length > 0 ? arguments[0] : Object.class, value);
        if (Map.class.isAssignableFrom(c))
            return toMap(c, arguments, value);
        return toBean(c, value);
    }

    private static Object toNumber(Class<?> c, Object value) {
        BigDecimal n;

        if (c == char.class || c == Character.class) {
            if (value instanceof String && ((String) value).length() == 1)
                return ((String) value).charAt(0);
            throw mismatch(c, value);
        }
        if (!(value instanceof Number) && !(value instanceof String))
            throw mismatch(c, value);
        try {
            n = new BigDecimal(value.toString());
            if (c == int.class || c == Integer.class)
                return n.intValueExact();
            if (c == long.class || c == Long.class)
                return n.longValueExact();
            if (c == short.class || c == Short.class)
                return n.shortValueExact();
            if (c == byte.class || c == Byte.class)
                return n.byteValueExact();
            if (c == BigInteger.class)
                return n.toBigIntegerExact();
        } catch (ArithmeticException | NumberFormatException e) {
            throw mismatch(c, value);
        }
        if (c == double.class || c == Double.class)
            return n.doubleValue();
        if (c == float.class || c == Float.class)
            return n.floatValue();
        if (c == BigDecimal.class)
            return n;
        if (c == Number.class && value instanceof Number)
            return value;
        throw mismatch(c, value);
    }

    private static Object toEnum(Class<?> c, Object value) {
        for (Object constant : c.getEnumConstants())
            if (((Enum<?>) constant).name().equals(value))
                return constant;
        throw mismatch(c, value);
    }

    private static Object toArray(Type component, Object value) throws ReflectiveOperationException {
        if (component == byte.class && value instanceof String)
            return Base64.getDecoder().decode((String) value);
        if (!(value instanceof List))
            throw mismatch(component, value);
        List<?> list = (List<?>) value;
        Object array = Array.newInstance(raw(component), list.size());
        for (int i = 0; i < list.size(); i++)
            Array.set(array, i, to(component, list.get(i)));
        return array;
    }

    private static Object toCollection(Class<?> c, Type element, Object value) throws ReflectiveOperationException {
        if (!(value instanceof List))
            throw mismatch(c, value);
        @SuppressWarnings("unchecked")
        Collection<Object> made = c.isAssignableFrom(ArrayList.class) ? new ArrayList<>()
            : c.isAssignableFrom(LinkedHashSet.class) ? new LinkedHashSet<>()
            : (Collection<Object>) c.getConstructor().newInstance();
        for (Object one : (List<?>) value)
            made.add(to(element, one));
        return made;
    }

    private static Object toMap(Class<?> c, Type[] arguments, Object value) throws ReflectiveOperationException {
        Type key = arguments.length > 1 ? arguments[0] : String.class;
        Type element = arguments.length > 1 ? arguments[1] : Object.class;

        if (!(value instanceof Map))
            throw mismatch(c, value);
        @SuppressWarnings("unchecked")
        Map<Object, Object> made = c.isAssignableFrom(LinkedHashMap.class) ? new LinkedHashMap<>()
            : c.isAssignableFrom(TreeMap.class) ? new TreeMap<>()
            : (Map<Object, Object>) c.getConstructor().newInstance();
        for (Map.Entry<?, ?> e : ((Map<?, ?>) value).entrySet())
            made.put(key == Object.class ? e.getKey() : to(key, e.getKey()), to(element, e.getValue()));
        return made;
    }

    /** By its setters, and its public fields; names that it does not have are left out. */
    private static Object toBean(Class<?> c, Object value) throws ReflectiveOperationException {
        if (!(value instanceof Map))
            throw mismatch(c, value);
        Object bean = c.getDeclaredConstructor().newInstance();
        Map<String, Method> setters = new LinkedHashMap<>();
        for (Method m : c.getMethods())
            if (m.getName().length() > 3 && m.getName().startsWith("set") && m.getParameterCount() == 1
                && !Modifier.isStatic(m.getModifiers()) && !m.isBridge())
                setters.put(m.getName().substring(3).toLowerCase(), m);
        for (Map.Entry<?, ?> e : ((Map<?, ?>) value).entrySet()) {
            String name = (String) e.getKey();
            Method setter = setters.get(name.toLowerCase());
            if (setter != null)
                setter.invoke(bean, to(setter.getGenericParameterTypes()[0], e.getValue()));
            else
                setField(bean, name, e.getValue());
        }
        return bean;
    }

    private static void setField(Object bean, String name, Object value) throws ReflectiveOperationException {
        for (Field f : bean.getClass().getFields())
            if (f.getName().equals(name) && (f.getModifiers() & (Modifier.STATIC | Modifier.FINAL)) == 0)
                f.set(bean, to(f.getGenericType(), value));
    }

    // ---- to JSON ----

    static String text(Object value) throws ReflectiveOperationException {
        StringBuilder b = new StringBuilder();
        put(b, value, 0);
        return b.toString();
    }

    private static void put(StringBuilder b, Object value, int depth) throws ReflectiveOperationException {
        if (depth > DEPTH_MAX)
            throw new IllegalArgumentException("An error occurred during JSON serialization of response: it is "
                + "nested more than " + DEPTH_MAX + " deep");
        if (value == null || value instanceof Boolean)
            b.append(value);
        else if (value instanceof Number)
            Json.putNumber(b, (Number) value);
        else if (value instanceof CharSequence || value instanceof Character)
            Json.putString(b, value.toString());
        else if (value instanceof Enum)
            Json.putString(b, ((Enum<?>) value).name());
        else if (value instanceof byte[])
            Json.putString(b, Base64.getEncoder().encodeToString((byte[]) value));
        else if (value instanceof Optional)
            put(b, ((Optional<?>) value).orElse(null), depth);
        else if (value instanceof Map)
            putMap(b, (Map<?, ?>) value, depth);
        else if (value instanceof Iterable)
            putAll(b, (Iterable<?>) value, depth);
        else if (value.getClass().isArray())
            putAll(b, list(value), depth);
        else if (value.getClass().getName().startsWith("java."))
            Json.putString(b, value.toString());
        else
            putMap(b, properties(value), depth);
    }

    private static List<Object> list(Object array) {
        List<Object> list = new ArrayList<>();
        for (int i = 0; i < Array.getLength(array); i++)
            list.add(Array.get(array, i));
        return list;
    }

    private static void putAll(StringBuilder b, Iterable<?> values, int depth) throws ReflectiveOperationException {
        String between = "[";
        for (Object one : values) {
            b.append(between);
            put(b, one, depth + 1);
            between = ",";
        }
        b.append(between.equals("[") ? "[]" : "]");
    }

    private static void putMap(StringBuilder b, Map<?, ?> map, int depth) throws ReflectiveOperationException {
        String between = "{";
        for (Map.Entry<?, ?> e : map.entrySet()) {
            b.append(between);
            Json.putString(b, String.valueOf(e.getKey()));
            b.append(':');
            put(b, e.getValue(), depth + 1);
            between = ",";
        }
        b.append(between.equals("{") ? "{}" : "}");
    }

    /** Of a bean: its getters, and its public fields. */
    private static Map<String, Object> properties(Object bean) throws ReflectiveOperationException {
        Map<String, Object> found = new TreeMap<>();
        for (Field f : bean.getClass().getFields())
            if (!Modifier.isStatic(f.getModifiers()))
                found.put(f.getName(), f.get(bean));
        for (Method m : bean.getClass().getMethods()) {
            String name = m.getName();
            int skip = name.startsWith("get") ? 3 : name.startsWith("is")
                && (m.getReturnType() == boolean.class) ? 2 : 0;
            if (skip == 0 || name.length() == skip || m.getParameterCount() > 0 || m.getReturnType() == void.class
                || Modifier.isStatic(m.getModifiers()) || m.getDeclaringClass() == Object.class)
                continue;
            m.setAccessible(true);
            try {
                found.put(Character.toLowerCase(name.charAt(skip)) + name.substring(skip + 1), m.invoke(bean));
            } catch (InvocationTargetException e) {
                throw new IllegalArgumentException("An error occurred during JSON serialization of response: "
                    + name + " failed", e.getCause());
            }
        }
        return found;
    }
}
