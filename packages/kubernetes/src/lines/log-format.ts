import { parseCriLine } from "../cri/parse-cri-line.ts";
import { parseDockerLine } from "../docker-json/parse-docker-line.ts";
import type { ContainerLine } from "./container-line.ts";

/** How a runtime writes a file's lines. */
export type LogFormat = "cri" | "docker-json";

export function parseLine(format: LogFormat, line: Buffer): ContainerLine | undefined {
  return format === "cri" ? parseCriLine(line) : parseDockerLine(line);
}

/** Which form a file has, by the first of its lines that is of one; undefined for one of none. */
export function recogniseFormat(line: Buffer): LogFormat | undefined {
  if (parseCriLine(line) !== undefined) return "cri";
  return parseDockerLine(line) === undefined ? undefined : "docker-json";
}
