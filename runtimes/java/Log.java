package cirrus;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.reflect.Constructor;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Records of any content on the framed descriptor. */
final class Log {
    private static final int FRAME = 0xa55a0003;
    private static final String NONE = "UNDEFINED";
    private static final List<String> LEVELS =
        Arrays.asList(NONE, "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL");

    private final OutputStream out;
    private final boolean json = "JSON".equalsIgnoreCase(System.getenv("AWS_LAMBDA_LOG_FORMAT"));
    private final int least = json ? LEVELS.indexOf(System.getenv("AWS_LAMBDA_LOG_LEVEL")) : 0;

    /** The class library opens files by name only; the command line opens java.io for this. */
    Log(String descriptor) throws ReflectiveOperationException {
        Constructor<FileDescriptor> number = FileDescriptor.class.getDeclaredConstructor(int.class);
        number.setAccessible(true);
        out = new FileOutputStream(number.newInstance(Integer.parseInt(descriptor)));
    }

    synchronized void write(byte[] record) {
        long us = System.currentTimeMillis() * 1000;
        ByteBuffer b = ByteBuffer.allocate(16 + record.length);
        b.putInt(FRAME).putInt(record.length).putLong(us).put(record);
        System.out.flush();
        try {
            out.write(b.array());
        } catch (IOException e) {
            // Nobody reads: a log line is not worth an end.
        }
    }

    /**
     * A message of LambdaLogger, as bytes or text, in the form that the function is configured to have.
     * `level` is a LogLevel or null: one without a level always comes.
     */
    void say(Object message, Object level, String requestId, String tenantId) {
        String name = level == null ? NONE : level.toString();
        int rank = LEVELS.indexOf(name);
        if (rank > 0 && rank < least)
            return;
        write(message instanceof byte[] ? (byte[]) message
            : form(String.valueOf(message), name, requestId, tenantId).getBytes(StandardCharsets.UTF_8));
    }

    /** What ends an invocation. */
    void fault(String text, String requestId, String tenantId) {
        say(text, json ? "ERROR" : null, requestId, tenantId);
    }

    private String form(String message, String level, String requestId, String tenantId) {
        Map<String, Object> record = new LinkedHashMap<>();
        if (!json)
            return level.equals(NONE) ? message : "[" + level + "] " + message;
        record.put("timestamp", DateTimeFormatter.ofPattern("yyyy-MM-dd'T'HH:mm:ss.SSS'Z'")
            .format(ZonedDateTime.now(ZoneOffset.UTC)));
        record.put("message", message);
        record.put("level", level);
        if (requestId != null)
            record.put("AWSRequestId", requestId);
        if (tenantId != null)
            record.put("tenantId", tenantId);
        try {
            return Convert.text(record) + "\n";
        } catch (ReflectiveOperationException e) {
            return message; // maps of text have no getters
        }
    }
}
