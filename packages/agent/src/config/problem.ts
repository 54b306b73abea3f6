/**
 * Something about a configuration that its operator should know. An error keeps a strict agent from
 * starting; a warning is loud at start and fails `check`; a note is for reading.
 */
export interface Problem {
  readonly severity: "error" | "warning" | "note";
  /** The file as it was given, or "" when the problem is in none. */
  readonly file: string;
  /** From 1; 0 when the problem is of the whole file. */
  readonly line: number;
  readonly column: number;
  /** The full key, or "" when the problem is of no property. */
  readonly property: string;
  readonly message: string;
}

/** Where a problem is shown: at a property, at a component's first line, or at a file. */
export type Place = Pick<Problem, "file" | "line" | "column">;

/** `flume.conf:12: a1.sources.r1.batchSiz: unknown property; did you mean batchSize?` */
export function formatProblem({ file, line, property, message }: Problem): string {
  const place = file === "" ? "" : line === 0 ? `${file}: ` : `${file}:${line}: `;
  return `${place}${property === "" ? "" : `${property}: `}${message}`;
}

/** By file in the order they were given, then line and column; the same problem once. */
export function orderProblems(problems: readonly Problem[], files: readonly string[]): Problem[] {
  const rank = (file: string): number => (file === "" ? -1 : files.indexOf(file));
  const once = new Map(problems.map((problem) => [formatProblem(problem), problem]));
  return [...once.values()].sort(
    (a, b) => rank(a.file) - rank(b.file) || a.line - b.line || a.column - b.column,
  );
}
