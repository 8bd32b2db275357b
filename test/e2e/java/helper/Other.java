package helper;

/** In an archive of its own, below lib/. */
public class Other {
    public String name() {
        return "other";
    }
}
