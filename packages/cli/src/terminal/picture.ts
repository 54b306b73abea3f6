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
  let drawn: readonly string[] = [];
  // A terminal that does not say how wide it is may say 0.
  const width = (): number => output.columns || 100;

  /** A terminal that has become narrower since has broken lines in two. */
  function erase(): void {
    const rows = drawn.reduce(
      (sum, { length }) => sum + Math.max(1, Math.ceil(length / width())),
      0,
    );
    if (rows > 0) output.write(`\u001B[${rows}A\r\u001B[J`);
    drawn = [];
  }

  return {
    erase,
    draw(lines) {
      erase();
      drawn = lines.map((line) => line.slice(0, width()));
      output.write(`${drawn.join("\n")}\n`);
    },
  };
}
