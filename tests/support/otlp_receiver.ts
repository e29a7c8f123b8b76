/** An OpenTelemetry collector for tests: OTLP over HTTP with JSON, on loopback. */

/** A span as it was sent. */
export interface ReceivedSpan {
  traceId: string;
  spanId: string;
  parentSpanId: string;
  name: string;
  attributes: { key: string; value: Record<string, unknown> }[];
  status?: { code?: number };
}

/** A running one. */
export interface OtlpReceiver extends AsyncDisposable {
  readonly url: string;
  readonly spans: ReceivedSpan[];
  /** Names of all metrics so far, with the attributes of their points as JSON. */
  readonly metrics: Map<string, string>;
}

interface Payload {
  resourceSpans?: { scopeSpans: { spans: ReceivedSpan[] }[] }[];
  resourceMetrics?: { scopeMetrics: { metrics: { name: string }[] }[] }[];
}

/** Starts it. */
export function startOtlpReceiver(): OtlpReceiver {
  const spans: ReceivedSpan[] = [];
  const metrics = new Map<string, string>();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const payload: Payload = await request.json();
    for (const r of payload.resourceSpans ?? []) for (const s of r.scopeSpans) spans.push(...s.spans);
    for (const r of payload.resourceMetrics ?? []) {
      for (const s of r.scopeMetrics) for (const m of s.metrics) metrics.set(m.name, JSON.stringify(m));
    }
    return Response.json({});
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    spans,
    metrics,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}
