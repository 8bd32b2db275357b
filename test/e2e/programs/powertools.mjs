// AWS Lambda Powertools: its logger, metrics and tracer.
import { Logger } from "@aws-lambda-powertools/logger";
import { MetricUnit, Metrics } from "@aws-lambda-powertools/metrics";
import { Tracer } from "@aws-lambda-powertools/tracer";

const logger = new Logger({ logLevel: "INFO" });
const metrics = new Metrics();
const tracer = new Tracer();

export const handler = async (event, context) => {
  logger.addContext(context);
  logger.debug("hidden");
  logger.info("order taken", { orderId: event.order });
  try {
    throw new RangeError("too many", { cause: new TypeError("not a number") });
  } catch (error) {
    logger.error("order failed", error);
  }
  metrics.captureColdStartMetric(context.functionName);
  metrics.addDimension("shop", "north");
  metrics.addMetric("orders", MetricUnit.Count, 2);
  metrics.addMetric("orders", MetricUnit.Count, 3);
  metrics.addMetadata("request", context.awsRequestId);
  metrics.publishStoredMetrics();
  const segment = tracer.getSegment();
  const inner = segment.addNewSubsegment("work");
  tracer.setSegment(inner);
  tracer.putAnnotation("order", event.order);
  inner.close();
  tracer.setSegment(segment);
  return {
    trace: tracer.getRootXrayTraceId(),
    header: process.env._X_AMZN_TRACE_ID,
    traced: tracer.isTracingEnabled(),
    sampled: tracer.isTraceSampled(),
    cold: inner.trace_id ?? null,
  };
};
