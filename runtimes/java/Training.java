package cirrus;

import java.io.BufferedReader;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;

/**
 * One run of the runtime with a handler of its own, so that the Java machine can keep what it has loaded by then
 * in an archive (-XX:ArchiveClassesAtExit). It is its own Runtime API, at AWS_LAMBDA_RUNTIME_API, and writes its
 * handler's class to LAMBDA_TASK_ROOT.
 */
public final class Training implements Runnable {
    private static final int EVENTS = 2;

    private final ServerSocket listener;

    private Training(ServerSocket listener) {
        this.listener = listener;
    }

    /** What the handler takes and gives: the kinds that events are made of. */
    public static final class Sample {
        private String name;
        private int number;

        public String getName() {
            return name;
        }

        public void setName(String value) {
            name = value;
        }

        public int getNumber() {
            return number;
        }

        public void setNumber(int value) {
            number = value;
        }
    }

    public Sample handle(Sample in) {
        System.out.println(in.getName());
        return in;
    }

    /** Without one, for whoever makes the handler. */
    public Training() {
        this(null);
    }

    @Override
    public void run() {
        byte[] event = "{\"name\": \"a\", \"number\": 1, \"more\": [true, null, 1.5, {}]}".getBytes(StandardCharsets.UTF_8);
        try (Socket s = listener.accept()) {
            BufferedReader in = new BufferedReader(new InputStreamReader(s.getInputStream(), StandardCharsets.ISO_8859_1));
            OutputStream out = s.getOutputStream();
            int events = 0;
            for (String line; (line = in.readLine()) != null;) {
                boolean next = line.startsWith("GET ");
                int length = 0;
                for (String h; !(h = in.readLine()).isEmpty();)
                    if (h.startsWith("Content-Length: "))
                        length = Integer.parseInt(h.substring(16));
                for (; length > 0; length--)
                    in.read();
                String head = next && ++events > EVENTS ? "410 Gone" : "200 OK";
                int n = next && events <= EVENTS ? event.length : 0;
                out.write(("HTTP/1.1 " + head + "\r\nLambda-Runtime-Aws-Request-Id: " + events
                    + "\r\nLambda-Runtime-Deadline-Ms: " + Long.MAX_VALUE
                    + "\r\nLambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:000000000000:function:f"
                    + "\r\nContent-Length: " + n + "\r\n\r\n").getBytes(StandardCharsets.ISO_8859_1));
                out.write(event, 0, n);
            }
        } catch (Exception e) {
            e.printStackTrace();
            System.exit(1);
        }
    }

    private static void place(Path folder, String name) throws Exception {
        try (InputStream in = Training.class.getResourceAsStream(name)) {
            Files.copy(in, folder.resolve(name));
        }
    }

    public static void main(String[] arguments) throws Exception {
        String address = System.getenv("AWS_LAMBDA_RUNTIME_API");
        int port = Integer.parseInt(address.substring(address.lastIndexOf(':') + 1));
        Path folder = Paths.get(System.getenv("LAMBDA_TASK_ROOT"), "cirrus");
        Thread api = new Thread(new Training(new ServerSocket(port, 4, InetAddress.getLoopbackAddress())));

        Files.createDirectories(folder);
        place(folder, "Training.class");
        place(folder, "Training$Sample.class");
        api.setDaemon(true);
        api.start();
        Runtime.main(arguments);
    }
}
