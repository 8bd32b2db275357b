package cirrus;

import java.io.BufferedInputStream;
import java.io.EOFException;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.net.Socket;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The Java runtime: speaks the Lambda Runtime API (2018-06-01) and runs the function's handler.
 *
 * The function's classes have a loader of their own, below the platform's: /var/task, the archives in
 * its lib folder (or the one archive that it is), those of layers in /opt/java/lib.
 *
 * Documentation: Developer Guide, "Building Lambda functions with Java", "Using the Lambda runtime API".
 */
public final class Runtime {
    private static final String PREFIX = "/2018-06-01/runtime/";
    private static final int FRAMES_MAX = 200;

    private final String address;
    private final Log log;
    private Socket socket;
    private InputStream in;
    private OutputStream out;
    private Map<String, String> headers;
    private byte[] body;

    private Runtime(String address, Log log) {
        this.address = address;
        this.log = log;
    }

    // ---- the API ----

    private void connect() throws IOException {
        int colon = address.lastIndexOf(':');
        socket = new Socket(address.substring(0, colon), Integer.parseInt(address.substring(colon + 1)));
        socket.setTcpNoDelay(true);
        in = new BufferedInputStream(socket.getInputStream(), 16384);
        out = socket.getOutputStream();
    }

    private int request(String method, String name, byte[] content, String more) throws IOException {
        StringBuilder head = new StringBuilder();
        head.append(method).append(' ').append(PREFIX).append(name).append(" HTTP/1.1\r\nHost: ").append(address)
            .append("\r\nUser-Agent: cirrus-java\r\n").append(more);
        if (content != null)
            head.append("Content-Type: application/json\r\nContent-Length: ").append(content.length).append("\r\n");
        byte[] start = head.append("\r\n").toString().getBytes(StandardCharsets.ISO_8859_1);
        if (socket == null)
            connect();
        if (content != null && content.length > 0) {
            start = Arrays.copyOf(start, start.length + content.length);
            System.arraycopy(content, 0, start, start.length - content.length, content.length);
        }
        out.write(start);
        return answer();
    }

    private String line() throws IOException {
        StringBuilder b = new StringBuilder();
        for (int c; (c = in.read()) != '\n'; b.append((char) c))
            if (c < 0)
                throw new EOFException("the Runtime API closed the connection");
        return b.toString().trim();
    }

    private int answer() throws IOException {
        int status = Integer.parseInt(line().split(" ")[1]);
        headers = new HashMap<>();
        for (String l; !(l = line()).isEmpty();) {
            int colon = l.indexOf(':');
            headers.put(l.substring(0, colon).toLowerCase(), l.substring(colon + 1).trim());
        }
        body = new byte[Integer.parseInt(headers.getOrDefault("content-length", "0"))];
        for (int at = 0, n; at < body.length; at += n)
            if ((n = in.read(body, at, body.length - at)) < 0)
                throw new EOFException("the Runtime API closed the connection");
        return status;
    }

    /** Of the event in work; null before the first one. */
    private String header(String name) {
        return headers == null ? null : headers.get("lambda-runtime-" + name);
    }

    // ---- errors ----

    /** Without the runtime's own frames at the end. */
    private static List<String> frames(Throwable t) {
        StackTraceElement[] all = t.getStackTrace();
        List<String> shown = new ArrayList<>();
        int end = all.length;
        while (end > 0 && (all[end - 1].getClassName().startsWith("cirrus.")
            || all[end - 1].getClassName().startsWith("java.lang.reflect.")
            || all[end - 1].getClassName().startsWith("jdk.internal.reflect.")))
            end--;
        for (int i = 0; i < Math.min(end, FRAMES_MAX); i++)
            shown.add(all[i].toString());
        return shown;
    }

    private static String typeOf(Throwable t) {
        return t instanceof Handler.Missing ? ((Handler.Missing) t).type : t.getClass().getName();
    }

    private static Map<String, Object> report(Throwable t, int depth) {
        Map<String, Object> map = new java.util.LinkedHashMap<>();
        if (t.getMessage() != null)
            map.put("errorMessage", t.getMessage());
        map.put("errorType", typeOf(t));
        if (!(t instanceof Handler.Missing))
            map.put("stackTrace", frames(t));
        if (t.getCause() != null && depth < 20)
            map.put("cause", report(t.getCause(), depth + 1));
        return map;
    }

    private void fail(String name, Throwable t) throws IOException {
        StringWriter text = new StringWriter();
        String json;
        try {
            json = Convert.text(report(t, 0));
        } catch (ReflectiveOperationException e) {
            json = "{}";
        }
        if (t instanceof Handler.Missing)
            text.write(t.getMessage() + ": " + typeOf(t) + "\n");
        else
            t.printStackTrace(new PrintWriter(text, true));
        log.fault(text.toString(), header("aws-request-id"), header("aws-tenant-id"));
        request("POST", name, json.getBytes(StandardCharsets.UTF_8),
            "Lambda-Runtime-Function-Error-Type: " + typeOf(t).replaceAll("[^ -~]", "?") + "\r\n");
    }

    // ---- the function ----

    private static void addArchives(List<URL> urls, String folder) throws IOException {
        File[] files = new File(folder).listFiles();
        if (files == null)
            return;
        Arrays.sort(files);
        for (File f : files)
            if (f.getName().endsWith(".jar"))
                urls.add(f.toURI().toURL());
    }

    private static ClassLoader loader(String root) throws IOException {
        List<URL> urls = new ArrayList<>();
        urls.add(new File(root).toURI().toURL());
        addArchives(urls, root);
        addArchives(urls, root + "/lib");
        addArchives(urls, "/opt/java/lib");
        return new URLClassLoader(urls.toArray(new URL[0]), ClassLoader.getSystemClassLoader().getParent());
    }

    private void serve(Handler handler) throws IOException {
        int status = request("GET", "invocation/next", null, "");
        while (status == 200) {
            String id = headers.get("lambda-runtime-aws-request-id");
            String trace = headers.get("lambda-runtime-trace-id");
            if (trace != null)
                System.setProperty("com.amazonaws.xray.traceHeader", trace);
            byte[] result = null;
            Throwable failure = null;
            try {
                result = handler.call(body, new Context(headers, log));
            } catch (Throwable t) { // whatever it is, it is the function's answer
                failure = t;
            }
            System.out.flush();
            System.err.flush();
            if (failure == null)
                request("POST", "invocation/" + id + "/response", result, "");
            else
                fail("invocation/" + id + "/error", failure);
            if (failure instanceof VirtualMachineError)
                System.exit(1); // out of memory, for instance: what it did is unknown
            status = request("GET", "invocation/next", null, "");
        }
        System.exit(status == 410 ? 0 : 1);
    }

    public static void main(String[] arguments) throws Exception {
        Runtime runtime = new Runtime(System.getenv("AWS_LAMBDA_RUNTIME_API"),
            new Log(System.getenv("_LAMBDA_TELEMETRY_LOG_FD")));
        ClassLoader loader = loader(System.getenv("LAMBDA_TASK_ROOT"));
        Handler handler;

        Thread.currentThread().setContextClassLoader(loader);
        try {
            handler = new Handler(loader, System.getenv("_HANDLER"));
        } catch (Throwable t) { // its static initialisers may throw anything
            runtime.fail("init/error", t);
            System.exit(1);
            return;
        }
        runtime.serve(handler);
    }
}
