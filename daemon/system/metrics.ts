/** GET /metrics in Prometheus's text format 0.0.4. */

/** One family of samples. */
export interface Metric {
  name: string;
  type: "gauge" | "counter";
  help: string;
  samples: { labels?: Record<string, string>; value: number }[];
}

function escape(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"');
}

function labelsOf(labels: Record<string, string> = {}): string {
  const pairs = Object.entries(labels).map(([k, v]) => `${k}="${escape(v)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

/** The text of some metrics; those without samples are left out. */
export function renderMetrics(metrics: readonly Metric[]): string {
  return metrics.filter((m) => m.samples.length > 0).map(({ name, type, help, samples }) =>
    [
      `# HELP ${name} ${help}`,
      `# TYPE ${name} ${type}`,
      ...samples.map((s) => `${name}${labelsOf(s.labels)} ${s.value}`),
      "",
    ].join("\n")
  ).join("");
}
