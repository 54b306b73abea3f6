import { formatProblem, type Problem } from "@millrace/agent";
import type { Log } from "@millrace/core";

/** Each problem as a line of the log, as loud as it is severe. */
export function tellProblems(problems: readonly Problem[], log: Log): void {
  for (const problem of problems) {
    const text = formatProblem(problem);
    if (problem.severity === "error") log.error(text);
    else if (problem.severity === "warning") log.warn(text);
    else log.info(text);
  }
}
