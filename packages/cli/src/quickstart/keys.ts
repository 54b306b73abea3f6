export type Command = "kill" | "stall" | "restart" | "quit";

/** What a key means; undefined for all others. Ctrl-c and the end of the input quit. */
export function commandOf(key: string): Command | undefined {
  switch (key) {
    case "k":
      return "kill";
    case "s":
      return "stall";
    case "r":
      return "restart";
    case "q":
    case "\u0003":
    case "\u0004":
      return "quit";
    default:
      return undefined;
  }
}

/** A terminal's input, as `process.stdin` is one. */
export interface KeyInput {
  readonly isTTY?: boolean;
  setRawMode?(raw: boolean): unknown;
  setEncoding(encoding: "utf8"): unknown;
  on(event: "data", listener: (text: string) => void): unknown;
  resume(): unknown;
  pause(): unknown;
}

/** Calls `each` for every key that is a command, until the returned function is called. */
export function listenToKeys(input: KeyInput, each: (command: Command) => void): () => void {
  if (input.isTTY !== true) return () => undefined;
  input.setRawMode?.(true);
  input.setEncoding("utf8");
  input.on("data", (text) => {
    for (const key of text) {
      const command = commandOf(key);
      if (command !== undefined) each(command);
    }
  });
  input.resume();
  return () => {
    input.setRawMode?.(false);
    input.pause();
  };
}
