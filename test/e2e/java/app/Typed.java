package app;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;

public class Typed implements RequestHandler<Order, Order> {
    @Override
    public Order handleRequest(Order order, Context context) {
        context.getLogger().log("order " + order.getId() + "\nof two lines");
        order.setCount(order.getCount() + 1);
        for (Order part : order.getParts())
            part.setPaid(true);
        return order;
    }
}
