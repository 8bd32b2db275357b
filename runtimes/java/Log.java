package cirrus;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.reflect.Constructor;
import java.nio.ByteBuffer;

/** Records of any content on the framed descriptor. */
final class Log {
    private static final int FRAME = 0xa55a0003;

    private final OutputStream out;

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
}
