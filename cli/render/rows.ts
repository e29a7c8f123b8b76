/** Lists of objects in the shapes that `--format` and `-q` ask for. */

import { escapeControls, escapeControlsInLines, safeJson } from "./escape.ts";
import { renderTable } from "./table.ts";
import { Template, unescapeFormat } from "./template.ts";

/** How one object of a list is shown: Docker's field names with text for each. */
export type View = Record<string, string>;

/** What a list command can print. */
export interface RowOptions {
  /** `table`, `json`, `table TEMPLATE`, or a template. Default table. */
  format?: string | undefined;
  /** Columns of the default table, by field name. */
  columns: readonly string[];
  /** Headings by field name; a missing one is the field's name in capitals. */
  heads: Readonly<Record<string, string>>;
  /** Output goes to a terminal: control characters are made visible in whatever is printed. */
  terminal: boolean;
}

const LABEL = "Label";

/** Gives a view Docker's `{{.Label "key"}}`; it is in no table and no JSON. */
export function withLabel(view: View, labels: Readonly<Record<string, string>>): View {
  const value = (key: unknown) => Object.hasOwn(labels, String(key)) ? labels[String(key)] : "";
  return Object.defineProperty(view, LABEL, { value });
}

function headOf(field: string, heads: Readonly<Record<string, string>>): string {
  return heads[field] ?? field.replace(/([a-z])([A-Z])/g, "$1 $2").toUpperCase();
}

function safe(view: View): View {
  const text = Object.fromEntries(Object.entries(view).map(([key, value]) => [key, escapeControls(value)]));
  const method = Object.getOwnPropertyDescriptor(view, LABEL);
  return method === undefined ? text : Object.defineProperty(text, LABEL, method);
}

/**
 * Text of a list.
 *
 * @throws NyxError invalid_argument for a bad template
 */
export function renderRows(views: readonly View[], options: RowOptions): string {
  const { format = "table", columns, heads, terminal } = options;
  if (format === "table") {
    return renderTable(
      columns.map((field) => headOf(field, heads)),
      views.map((view) => columns.map((field) => escapeControls(view[field] ?? ""))),
    );
  }
  if (format === "json") return views.map((view) => `${safeJson(view)}\n`).join("");
  const tabled = format.startsWith("table ");
  const template = new Template(unescapeFormat(tabled ? format.slice("table ".length) : format));
  if (!tabled) {
    const lines = views.map((view) => `${template.execute(view)}\n`).join("");
    return terminal ? escapeControlsInLines(lines) : lines;
  }
  const known = [...new Set([...columns, ...Object.keys(heads), ...views.flatMap((view) => Object.keys(view))])];
  const titles = Object.fromEntries(known.map((field) => [field, headOf(field, heads)]));
  const head = template.execute(Object.defineProperty(titles, LABEL, { value: (key: unknown) => String(key) }));
  const cells = views.map((view) => template.execute(safe(view)).split("\t"));
  return renderTable(head.split("\t"), cells);
}

/**
 * Text of inspected objects: an array of JSON, or one template line an object.
 *
 * @param format `json` gives one compact line for each
 */
export function renderObjects(objects: readonly unknown[], format: string | undefined, terminal: boolean): string {
  if (format === undefined) return `${safeJson(objects, 4)}\n`;
  if (format === "json") return objects.map((object) => `${safeJson(object)}\n`).join("");
  const template = new Template(unescapeFormat(format));
  const text = objects.map((object) => `${template.execute(object)}\n`).join("");
  return terminal ? escapeControlsInLines(text) : text;
}
