/**
 * OpenTelemetry by Deno's own exporter, where nyxd's user has turned it on: OTEL_DENO=true, and OTEL_EXPORTER_OTLP_ENDPOINT where the
 * collector is not on this host. Deno reads these variables itself and sends from outside its permissions, so nyxd asks for none more;
 * turned off, nothing of this is there. Source: docs.deno.com, "OpenTelemetry"; @opentelemetry/api for the shapes.
 */

import type { Metric } from "../system/metrics.ts";

/** What is known of a request or a stage's operation. */
export type Attributes = Record<string, string | number | boolean>;

/** A span under way. */
export interface OpenSpan {
  /** Ends it; `error` is a code such as `not_found`. */
  end(error?: string, attributes?: Attributes): void;
}

interface OtelSpan {
  setAttributes(attributes: Attributes): unknown;
  setStatus(status: { code: number; message?: string }): unknown;
  end(): void;
}

interface OtelContext {
  setValue(key: symbol, value: unknown): OtelContext;
}

interface OtelInstrument {
  record(value: number, attributes: Attributes): void;
}

interface OtelMeter {
  createHistogram(name: string, options: { unit: string; description: string }): OtelInstrument;
  createObservableGauge(name: string, options: { description: string }): object;
  createObservableCounter(name: string, options: { description: string }): object;
  addBatchObservableCallback(
    callback: (result: { observe(instrument: object, value: number, attributes: Attributes): void }) => void,
    instruments: object[],
  ): void;
}

/** What Deno gives; it implements the interfaces of @opentelemetry/api. */
interface DenoTelemetry {
  tracerProvider: {
    getTracer(name: string, version: string): {
      startSpan(name: string, options: { kind: number; attributes: Attributes }, context: OtelContext): OtelSpan;
    };
  };
  meterProvider: { getMeter(name: string, version: string): OtelMeter };
  contextManager: { active(): OtelContext; with<T>(context: OtelContext, job: () => T): T };
}

/** Under this key a context holds its span (@opentelemetry/api). */
const SPAN_KEY = Symbol.for("OpenTelemetry Context Key SPAN");
const KIND = { internal: 0, server: 1 } as const;
const STATUS_ERROR = 2;

/** Spans and metrics of one daemon. */
export class Telemetry {
  readonly #otel: DenoTelemetry;
  readonly #tracer: ReturnType<DenoTelemetry["tracerProvider"]["getTracer"]>;
  readonly #meter: OtelMeter;
  readonly #stages: OtelInstrument;

  private constructor(otel: DenoTelemetry, version: string) {
    this.#otel = otel;
    this.#tracer = otel.tracerProvider.getTracer("nyxd", version);
    this.#meter = otel.meterProvider.getMeter("nyxd", version);
    this.#stages = this.#meter.createHistogram("nyxd.stage.duration", {
      unit: "s",
      description: "How long operations of the stages took",
    });
  }

  /** Telemetry when its user has turned it on; undefined otherwise. */
  static tryStart(version: string): Telemetry | undefined {
    const otel = (Deno as unknown as { telemetry?: DenoTelemetry }).telemetry;
    if (otel === undefined) return undefined;
    try {
      const telemetry = new Telemetry(otel, version);
      // Without the exporter the first span throws: the variable itself need not be read, which would take a permission.
      telemetry.#begin("nyxd start", KIND.internal, {}).end();
      return telemetry;
    } catch {
      return undefined;
    }
  }

  /** Runs a request as a span of its own; what it asks of the stages hangs below. */
  request<T>(name: string, attributes: Attributes, job: (span: OpenSpan) => T): T {
    const { contextManager } = this.#otel;
    const span = this.#begin(name, KIND.server, attributes);
    return contextManager.with(contextManager.active().setValue(SPAN_KEY, span), () => job(open(span)));
  }

  /** Begins the span of a stage's operation; its end is counted as well. */
  stage(stage: string, op: string): OpenSpan {
    const attributes = { "nyx.stage": stage, "nyx.op": op };
    const span = open(this.#begin(`${stage}.${op}`, KIND.internal, attributes));
    const from = performance.now();
    return {
      end: (error) => {
        this.#stages.record((performance.now() - from) / 1000, {
          ...attributes,
          ...(error === undefined ? {} : { "error.type": error }),
        });
        span.end(error);
      },
    };
  }

  /** Lets the exporter read the same metrics that `GET /metrics` gives. */
  observe(families: () => readonly Metric[]): void {
    const instruments = new Map(
      families().map(({ name, type, help }) => [
        name,
        type === "counter"
          ? this.#meter.createObservableCounter(name, { description: help })
          : this.#meter.createObservableGauge(name, { description: help }),
      ]),
    );
    this.#meter.addBatchObservableCallback((result) => {
      for (const { name, samples } of families()) {
        const instrument = instruments.get(name);
        if (instrument === undefined) continue;
        for (const { value, labels = {} } of samples) result.observe(instrument, value, labels);
      }
    }, [...instruments.values()]);
  }

  #begin(name: string, kind: number, attributes: Attributes): OtelSpan {
    return this.#tracer.startSpan(name, { kind, attributes }, this.#otel.contextManager.active());
  }
}

function open(span: OtelSpan): OpenSpan {
  return {
    end: (error, attributes = {}) => {
      span.setAttributes(error === undefined ? attributes : { ...attributes, "error.type": error });
      if (error !== undefined) span.setStatus({ code: STATUS_ERROR, message: error });
      span.end();
    },
  };
}
