import type { Definition, OptionSpec } from "@millrace/core";
import type { FoundComponent } from "./components.ts";

const open = "<!-- options -->";
const close = "<!-- /options -->";

/** The README with its option table and example, between the markers, as the definition says. */
export function fillOptionTable(readme: string, component: FoundComponent, path: string): string {
  const from = readme.indexOf(open);
  const to = readme.indexOf(close);
  if (from < 0 || to < from) throw new Error(`${path} lacks the lines ${open} and ${close}`);
  return `${readme.slice(0, from)}${open}\n\n${optionTable(component.definition)}\n${readme.slice(to)}`;
}

function optionTable(definition: Definition): string {
  const specs = Object.values(definition.options);
  const lines: string[] = [];
  const read = specs.filter(({ form }) => form !== "ignored");
  if (read.length === 0) lines.push("It has no properties of its own.", "");
  else {
    lines.push("| Property | Default | Meaning |", "|---|---|---|");
    for (const spec of read) lines.push(row(spec));
    lines.push("");
  }
  const ignored = specs.filter(({ form }) => form === "ignored");
  if (ignored.length > 0) {
    lines.push("Accepted and without effect:", "");
    for (const spec of ignored) lines.push(`- \`${spec.key}\`: ${spec.description}`);
    lines.push("");
  }
  lines.push("```properties", definition.example.trim(), "```", "");
  return lines.join("\n");
}

function row(spec: OptionSpec<unknown>): string {
  const key = spec.form === "prefix" ? `${spec.key}.<name>` : spec.key;
  const fallback = spec.required
    ? "**required**"
    : spec.defaultText === undefined
      ? ""
      : `\`${spec.defaultText}\``;
  const unit = spec.unit === undefined ? "" : `, ${spec.unit}`;
  const meaning = `${spec.description} (${spec.expects}${unit})`;
  return `| \`${key}\` | ${fallback} | ${meaning.replaceAll("|", "\\|")} |`;
}
