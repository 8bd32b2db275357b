package cirrus;

import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.Collections;
import java.util.Map;

/** What a function is told of its invocation: by proxies of the interfaces that its archive has. */
final class Context {
    private final Map<String, String> headers;
    private final Log log;

    Context(Map<String, String> headers, Log log) {
        this.headers = headers;
        this.log = log;
    }

    private String header(String name) {
        return headers.get("lambda-runtime-" + name);
    }

    Object proxy(ClassLoader loader, Class<?> type) {
        return Proxy.newProxyInstance(loader, new Class<?>[] {type}, new InvocationHandler() {
            @Override
            public Object invoke(Object self, Method m, Object[] arguments) {
                return context(self, m, arguments);
            }
        });
    }

    private static Object plain(Object proxy, Method m, Object[] arguments) {
        switch (m.getName()) {
            case "hashCode": return System.identityHashCode(proxy);
            case "equals": return proxy == arguments[0];
            case "toString": return m.getDeclaringClass().getSimpleName();
            default: return null;
        }
    }

    private Object context(Object proxy, Method m, Object[] arguments) {
        switch (m.getName()) {
            case "getAwsRequestId": return header("aws-request-id");
            case "getLogGroupName": return System.getenv("AWS_LAMBDA_LOG_GROUP_NAME");
            case "getLogStreamName": return System.getenv("AWS_LAMBDA_LOG_STREAM_NAME");
            case "getFunctionName": return System.getenv("AWS_LAMBDA_FUNCTION_NAME");
            case "getFunctionVersion": return System.getenv("AWS_LAMBDA_FUNCTION_VERSION");
            case "getInvokedFunctionArn": return header("invoked-function-arn");
            case "getTenantId": return header("aws-tenant-id");
            case "getXrayTraceId": return header("trace-id");
            case "getRemainingTimeInMillis":
                return (int) Math.max(0, Long.parseLong(header("deadline-ms")) - System.currentTimeMillis());
            case "getMemoryLimitInMB": return Integer.parseInt(System.getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"));
            case "getIdentity": return of(proxy, m, json("cognito-identity"));
            case "getClientContext": return header("client-context") == null ? null
                : of(proxy, m, json("client-context"));
            case "getLogger": return Proxy.newProxyInstance(proxy.getClass().getClassLoader(),
                new Class<?>[] {m.getReturnType()}, new InvocationHandler() {
                    @Override
                    public Object invoke(Object self, Method of, Object[] given) {
                        return logger(self, of, given);
                    }
                });
            default: return plain(proxy, m, arguments);
        }
    }

    private Map<?, ?> json(String name) {
        String text = header(name);
        Object value = text == null ? null : Json.parse(text);
        return value instanceof Map ? (Map<?, ?>) value : Collections.emptyMap();
    }

    /** Getters of an object in JSON: getInstallationId is installation_id or installationId. */
    private Object of(Object proxy, Method getter, Map<?, ?> values) {
        InvocationHandler handler = (self, m, arguments) -> {
            if (!m.getName().startsWith("get"))
                return plain(self, m, arguments);
            Object value = member(values, m.getName().substring(3));
            if (m.getReturnType().isInterface() && !Map.class.isAssignableFrom(m.getReturnType()))
                return of(self, m, value instanceof Map ? (Map<?, ?>) value : Collections.emptyMap());
            return m.getReturnType().isInstance(value) ? value : null;
        };
        return Proxy.newProxyInstance(proxy.getClass().getClassLoader(), new Class<?>[] {getter.getReturnType()},
            handler);
    }

    private static Object member(Map<?, ?> values, String name) {
        for (Map.Entry<?, ?> e : values.entrySet())
            if (e.getKey().toString().replace("_", "").equalsIgnoreCase(name)
                || ("env".equals(e.getKey()) && name.equals("Environment")))
                return e.getValue();
        return null;
    }

    private Object logger(Object proxy, Method m, Object[] arguments) {
        if (!m.getName().equals("log"))
            return plain(proxy, m, arguments);
        log.say(arguments[0], arguments.length > 1 ? arguments[1] : null, header("aws-request-id"),
            header("aws-tenant-id"));
        return null;
    }
}
