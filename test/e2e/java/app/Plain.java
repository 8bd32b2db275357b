package app;

import com.amazonaws.services.lambda.runtime.Context;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

public class Plain {
    private static int calls;

    public String text(String s) {
        return s + "!";
    }

    public static double half(int n) {
        return n / 2.0;
    }

    public Map<String, Object> facts(Map<String, Object> event, Context context) {
        Map<String, Object> found = new LinkedHashMap<>();
        found.put("event", event);
        found.put("calls", ++calls);
        found.put("name", context.getFunctionName());
        found.put("version", context.getFunctionVersion());
        found.put("arn", context.getInvokedFunctionArn());
        found.put("memory", context.getMemoryLimitInMB());
        found.put("group", context.getLogGroupName());
        found.put("time", context.getRemainingTimeInMillis() > 0);
        found.put("identity", context.getIdentity().getIdentityId());
        found.put("title", context.getClientContext() == null ? null
            : context.getClientContext().getClient().getAppTitle());
        found.put("custom", context.getClientContext() == null ? null : context.getClientContext().getCustom());
        found.put("heap", Runtime.getRuntime().maxMemory() >> 20);
        found.put("mine", System.getenv("MINE"));
        found.put("other", new helper.Other().name());
        System.out.println("printed");
        return found;
    }

    public List<Integer> sum(List<Integer> numbers) {
        int total = 0;
        for (int n : numbers)
            total += n;
        return List.of(numbers.size(), total);
    }

    public void nothing() {
    }

    public String fails(Object event) {
        try {
            throw new IllegalStateException("below");
        } catch (IllegalStateException e) {
            throw new IllegalArgumentException("bad: " + event, e);
        }
    }

    public String exits() {
        System.exit(3);
        return "";
    }

    public String fills() {
        byte[][] all = new byte[1024][];
        for (int i = 0; i < all.length; i++)
            all[i] = new byte[1 << 20];
        return all.length + "";
    }
}
