package app;

public class Broken {
    static {
        if (true)
            throw new IllegalStateException("not today");
    }

    public String handle(String s) {
        return s;
    }
}
