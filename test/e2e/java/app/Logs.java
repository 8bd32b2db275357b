package app;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.LambdaLogger;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import com.amazonaws.services.lambda.runtime.logging.LogLevel;

public class Logs implements RequestHandler<String, String> {
    @Override
    public String handleRequest(String event, Context context) {
        LambdaLogger logger = context.getLogger();
        logger.log("without a level\n");
        logger.log("of little interest\n", LogLevel.INFO);
        logger.log("of two\nlines\n", LogLevel.ERROR);
        logger.log("as bytes\n".getBytes(), LogLevel.FATAL);
        throw new IllegalStateException("ends");
    }
}
