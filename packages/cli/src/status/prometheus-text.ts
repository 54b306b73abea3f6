/** One line of Prometheus' text format. */
export interface Sample {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly value: number;
}

const line = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? ([-+]?(?:[\d.]\S*|Inf|NaN))(?: -?\d+)?$/;
const label = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;
const escapes: Readonly<Record<string, string>> = { n: "\n", '"': '"', "\\": "\\" };

/** The samples of a text; comments and what is no sample are left out. */
export function parseSamples(text: string): Sample[] {
  const samples: Sample[] = [];
  for (const row of text.split("\n")) {
    if (row === "" || row.startsWith("#")) continue;
    const match = line.exec(row);
    if (match === null) continue;
    const [, name = "", labels = "", value = ""] = match;
    samples.push({ name, labels: new Map(readLabels(labels)), value: readValue(value) });
  }
  return samples;
}

function* readLabels(text: string): Generator<[string, string]> {
  for (const [, name = "", value = ""] of text.matchAll(label)) {
    yield [name, value.replace(/\\(.)/g, (_, escaped: string) => escapes[escaped] ?? escaped)];
  }
}

function readValue(text: string): number {
  if (text === "+Inf") return Infinity;
  return text === "-Inf" ? -Infinity : Number(text);
}
