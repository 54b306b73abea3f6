import { parseArgs } from "node:util";

export interface QuickstartArguments {
  /** Deliver what is there, check it, end. */
  readonly once: boolean;
  /** What the writer adds to the sample logs. */
  readonly linesPerSecond: number;
  /** After how many lines the writer stops; undefined: never. */
  readonly linesMax: number | undefined;
  /** Files and folders to tail instead of the sample logs. */
  readonly paths: readonly string[];
}

export const usage = `npm start                    an edge and two collectors on this machine
npm start -- --once          deliver what is there, check that every line arrived, end
npm start -- /var/log ...    tail these files and folders instead of the sample logs; nothing of
                             yours is renamed or written

  --rate N     lines a second that the writer adds to the sample logs (10000)
  --lines N    stop the writer after so many lines (with --once 20000)`;

const linesOnce = 20_000;
const rateMax = 200_000;

/** The arguments, or what is wrong with them, or "help". */
export function parseQuickstartArguments(
  args: readonly string[],
): QuickstartArguments | { readonly problem: string } | "help" {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        once: { type: "boolean", default: false },
        rate: { type: "string", default: "10000" },
        lines: { type: "string" },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    if (values.help) return "help";
    const linesPerSecond = wholeNumber("--rate", values.rate, 1, rateMax);
    const linesMax =
      values.lines === undefined
        ? undefined
        : wholeNumber("--lines", values.lines, 0, Number.MAX_SAFE_INTEGER);
    return {
      once: values.once,
      linesPerSecond,
      linesMax: linesMax ?? (values.once ? linesOnce : undefined),
      paths: positionals,
    };
  } catch (error) {
    return { problem: (error as Error).message };
  }
}

function wholeNumber(name: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw new Error(`${name} takes a whole number from ${least} to ${most}, not "${text}"`);
}
