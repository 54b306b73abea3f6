import { parseArgs } from "node:util";
import type { Words } from "./split-words.ts";

/** What `status` and `top` are asked to look at. */
export interface StatusWords {
  /** `host:port`, `dns://...`, `dns+srv://...`, `consul://...`; none: the agent behind the socket. */
  readonly addresses: readonly string[];
  readonly socket: string;
  /** Of the monitoring port, where an address says none; always for Consul, which knows another. */
  readonly port: number;
  readonly isJson: boolean;
  /** Between two readings. */
  readonly intervalMs: number;
  /** Tables that `top` shows; Infinity: until it is told to stop. */
  readonly count: number;
}

const text = { type: "string" } as const;
const known = {
  host: { ...text, short: "H", multiple: true },
  socket: { ...text, short: "S" },
  port: { ...text, short: "p", default: "41414" },
  json: { type: "boolean", default: false },
  interval: { ...text, short: "i" },
  count: { ...text, short: "n" },
  help: { type: "boolean", short: "h" },
} as const;

const intervalSeconds = { status: 1, top: 2 } as const;

/** The words, or `"help"`, or what is wrong with them. */
export function parseStatusWords(
  words: Words,
  command: "status" | "top",
): StatusWords | "help" | { readonly problem: string } {
  let values;
  let positionals;
  try {
    ({ values, positionals } = parseArgs({
      args: [...words.options],
      options: known,
      strict: true,
      allowPositionals: true,
    }));
  } catch (error) {
    return { problem: (error as Error).message };
  }
  if (values.help === true) return "help";
  if (command === "top" && values.json) return { problem: "--json is for status" };
  if (command === "status" && values.count !== undefined) return { problem: "-n is for top" };
  const port = Number(values.port);
  if (!Number.isInteger(port) || port < 1 || port > 65535) {
    return { problem: `--port ${values.port} is not a port, 1 to 65535` };
  }
  const interval = Number(values.interval ?? intervalSeconds[command]);
  if (!(interval >= 0.1 && interval <= 3600)) {
    return { problem: `--interval ${values.interval} is not a number of seconds, 0.1 to 3600` };
  }
  const count = values.count === undefined ? Infinity : Number(values.count);
  if (count !== Infinity && !(Number.isInteger(count) && count > 0)) {
    return { problem: `--count ${values.count} is not a whole number of tables` };
  }
  const addresses = [...(values.host ?? []), ...positionals].flatMap(addressesIn);
  if (command === "top" && addresses.length === 0) {
    return { problem: "give -H <host:port,...>, dns://<name> or consul://<service>" };
  }
  if (values.socket !== undefined && addresses.length > 0) {
    return { problem: "give -S <path> or addresses of agents, one of them" };
  }
  const { json, socket = "/run/millrace/agent.sock" } = values;
  return { addresses, socket, port, isJson: json, intervalMs: interval * 1000, count };
}

/** Behind a question mark a comma belongs to what is asked, unless another address of that kind begins. */
function addressesIn(word: string): string[] {
  const addresses: string[] = [];
  for (const piece of word.split(",")) {
    const before = addresses.at(-1);
    if (before?.includes("?") === true && !piece.includes("://")) {
      addresses[addresses.length - 1] = `${before},${piece}`;
    } else if (piece !== "") addresses.push(piece);
  }
  return addresses;
}
