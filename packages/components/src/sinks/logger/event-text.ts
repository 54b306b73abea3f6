import type { Event } from "@millrace/core";

const rowBytes = 16;

/**
 * An event as Flume's logger shows it: sixteen bytes a row in hexadecimal, then as characters, a
 * dot for what does not print. Rows behind the first begin with their offset.
 *
 *   { headers:{host=a1} body: 48 65 6C 6C 6F 20 77 6F 72 6C 64 21             Hello world! }
 */
export function eventText({ headers, body }: Event, bytesMax: number): string {
  const shown = body.subarray(0, bytesMax);
  const rows: string[] = [];
  for (let at = 0; at < shown.length; at += rowBytes) {
    const offset = at === 0 ? "" : at.toString(16).toUpperCase().padStart(8, "0");
    rows.push(`${offset} ${row(shown.subarray(at, at + rowBytes))}`);
  }
  return `{ headers:${headersText(headers)} body:${rows.join("\n")} }`;
}

function row(bytes: Buffer): string {
  let hex = "";
  let characters = "";
  for (const byte of bytes) {
    hex += `${byte.toString(16).toUpperCase().padStart(2, "0")} `;
    characters += byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".";
  }
  return hex.padEnd(rowBytes * 3) + characters;
}

/** As Java prints a map; control characters as dots, so that no header can forge a log line. */
function headersText(headers: ReadonlyMap<string, string>): string {
  const text = Array.from(headers, ([name, value]) => `${name}=${value}`).join(", ");
  return `{${text.replace(/\p{Cc}/gu, ".")}}`;
}
