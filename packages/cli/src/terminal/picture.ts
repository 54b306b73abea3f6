/** Where text goes: a terminal, or a pipe that should not see escape sequences. */
export interface TextOutput {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Lines of a terminal that are drawn again in their place. */
export interface Picture {
  draw(lines: readonly string[]): void;
  /** Takes it away; what is written next stands where it stood. */
  erase(): void;
}

export function createPicture(output: TextOutput): Picture {
  let height = 0;

  function erase(): void {
    if (height > 0) output.write(`\u001B[${height}A\r\u001B[J`);
    height = 0;
  }

  return {
    erase,
    draw(lines) {
      erase();
      const width = output.columns ?? 100;
      output.write(`${lines.map((line) => line.slice(0, width)).join("\n")}\n`);
      height = lines.length;
    },
  };
}
