package cirrus;

import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** JSON: text to maps, lists, strings, numbers, booleans and null, and back. */
final class Json {
    private static final int DEPTH_MAX = 1000;
    private static final long EXACT = 1L << 53;

    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    static Object parse(String text) {
        Json reader = new Json(text);
        Object value = reader.value(0);
        reader.space();
        if (reader.at < text.length())
            throw reader.wrong("something behind the value");
        return value;
    }

    private IllegalArgumentException wrong(String what) {
        return new IllegalArgumentException("JSON: " + what + " at offset " + at);
    }

    private void space() {
        while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0)
            at++;
    }

    private char peek() {
        space();
        if (at == text.length())
            throw wrong("it ends too early");
        return text.charAt(at);
    }

    private void take(char wanted) {
        if (peek() != wanted)
            throw wrong("no '" + wanted + "'");
        at++;
    }

    private Object value(int depth) {
        if (depth > DEPTH_MAX)
            throw wrong("too deep");
        switch (peek()) {
            case '{': return object(depth);
            case '[': return array(depth);
            case '"': return string();
            case 't': return word("true", Boolean.TRUE);
            case 'f': return word("false", Boolean.FALSE);
            case 'n': return word("null", null);
            default: return number();
        }
    }

    private Object word(String word, Object value) {
        if (!text.startsWith(word, at))
            throw wrong("no value");
        at += word.length();
        return value;
    }

    private Map<String, Object> object(int depth) {
        Map<String, Object> map = new LinkedHashMap<>();
        take('{');
        if (peek() == '}') {
            at++;
            return map;
        }
        while (true) {
            if (peek() != '"')
                throw wrong("no name");
            String name = string();
            take(':');
            map.put(name, value(depth + 1));
            if (peek() == '}') {
                at++;
                return map;
            }
            take(',');
        }
    }

    private List<Object> array(int depth) {
        List<Object> list = new ArrayList<>();
        take('[');
        if (peek() == ']') {
            at++;
            return list;
        }
        while (true) {
            list.add(value(depth + 1));
            if (peek() == ']') {
                at++;
                return list;
            }
            take(',');
        }
    }

    private String string() {
        StringBuilder b = new StringBuilder();
        take('"');
        while (true) {
            if (at == text.length())
                throw wrong("a string without end");
            char c = text.charAt(at++);
            if (c == '"')
                return b.toString();
            if (c < ' ')
                throw wrong("a control character");
            b.append(c == '\\' ? escape() : c);
        }
    }

    private char escape() {
        char c = at < text.length() ? text.charAt(at++) : 0;
        int which = "\"\\/bfnrt".indexOf(c);
        if (which >= 0)
            return "\"\\/\b\f\n\r\t".charAt(which);
        if (c != 'u' || at + 4 > text.length())
            throw wrong("a wrong escape");
        int code = 0;
        for (int end = at + 4; at < end; at++) {
            int digit = Character.digit(text.charAt(at), 16);
            if (digit < 0)
                throw wrong("a wrong escape");
            code = code * 16 + digit;
        }
        return (char) code;
    }

    private Number number() {
        int start = at;
        boolean whole = true;
        for (; at < text.length() && "+-.eE0123456789".indexOf(text.charAt(at)) >= 0; at++)
            whole &= ".eE".indexOf(text.charAt(at)) < 0;
        try {
            BigDecimal exact = new BigDecimal(text.substring(start, at));
            if (!whole)
                return exact.doubleValue();
            long value = exact.longValueExact();
            return (int) value == value ? (Number) (int) value : (Number) value;
        } catch (ArithmeticException e) {
            return new BigDecimal(text.substring(start, at)).toBigInteger();
        } catch (NumberFormatException e) {
            at = start;
            throw wrong("no value");
        }
    }

    // ---- writing ----

    static void putString(StringBuilder b, String s) {
        b.append('"');
        for (int i = 0; i < s.length(); i++) {
            char c = s.charAt(i);
            int which = "\"\\\b\f\n\r\t".indexOf(c);
            if (which >= 0)
                b.append('\\').append("\"\\bfnrt".charAt(which));
            else if (c < ' ')
                b.append(String.format("\\u%04x", (int) c));
            else
                b.append(c);
        }
        b.append('"');
    }

    static void putNumber(StringBuilder b, Number n) {
        if (n instanceof Double || n instanceof Float) {
            double d = n.doubleValue();
            if (Double.isNaN(d) || Double.isInfinite(d))
                putString(b, n.toString());
            else if (d == Math.rint(d) && Math.abs(d) < EXACT)
                b.append((long) d).append(".0");
            else
                b.append(n);
        } else {
            b.append(n);
        }
    }
}
