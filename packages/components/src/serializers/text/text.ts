import type { MakeSerializer } from "@millrace/core";
import type { Options } from "./options.ts";

const newline = Buffer.from("\n");
const nothing = Buffer.alloc(0);

/** Bodies, each followed by a line feed when asked for. Bodies are passed on, never copied. */
export function createTextSerializer({ appendNewline }: Options): MakeSerializer {
  return () => ({
    header: () => nothing,
    write(event, into) {
      into.push(event.body);
      if (appendNewline) into.push(newline);
    },
    footer: () => nothing,
  });
}
