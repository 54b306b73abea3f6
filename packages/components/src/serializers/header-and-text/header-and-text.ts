import type { MakeSerializer } from "@millrace/core";
import type { Options } from "./options.ts";

const newline = Buffer.from("\n");
const nothing = Buffer.alloc(0);

/**
 * The headers as Java prints a map, in the order the event has them; a blank; the body, not copied;
 * a line feed when asked for.
 */
export function createHeaderAndTextSerializer({ appendNewline }: Options): MakeSerializer {
  return () => ({
    header: () => nothing,
    write({ headers, body }, into) {
      into.push(Buffer.from(`${javaMapText(headers)} `), body);
      if (appendNewline) into.push(newline);
    },
    footer: () => nothing,
  });
}

function javaMapText(headers: ReadonlyMap<string, string>): string {
  return `{${Array.from(headers, ([name, value]) => `${name}=${value}`).join(", ")}}`;
}
