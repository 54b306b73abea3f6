import { type LogDetail, MillraceError } from "@millrace/core";
import type { LogLevel } from "./log-settings.ts";

/** `2026-01-31T12:00:00.000Z INFO  r1 listening host=0.0.0.0 port=4141`, always one line. */
export function formatLine(
  timeMs: number,
  level: LogLevel,
  component: string,
  message: string,
  detail: LogDetail,
): string {
  const time = new Date(timeMs).toISOString();
  const fields = Object.entries(detail)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}=${formatValue(value)}`);
  const text = escapeControls(message);
  return `${time} ${level.toUpperCase().padEnd(5)} ${component} ${text}${fields.join("")}`;
}

function formatValue(value: unknown): string {
  if (value instanceof Error) return quoted(describeError(value));
  if (typeof value === "string") return quoted(value);
  if (typeof value === "bigint") return String(value);
  return JSON.stringify(value) ?? String(value);
}

function quoted(text: string): string {
  return /^[^\s"=]+$/.test(text) && text === escapeControls(text) ? text : JSON.stringify(text);
}

/**
 * Ours by code and message, as the code explains itself. Anything else, and ours of the code
 * UNEXPECTED, with its stack: it is a mistake to be found. Causes follow.
 */
function describeError(error: Error, depth = 0): string {
  const ours = error instanceof MillraceError;
  const expected = ours && error.code !== "UNEXPECTED";
  const own = ours ? `${error.code} ${error.message}` : `${error.name}: ${error.message}`;
  const stack =
    expected || depth > 0 ? "" : (error.stack ?? "").replace(/^[\s\S]*?(?=\n {4}at )/, "");
  const cause =
    error.cause instanceof Error && depth < 3 ? ` <- ${describeError(error.cause, depth + 1)}` : "";
  return own + cause + stack;
}

const escapes: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** No text from outside can begin a log line of its own, or move a terminal's cursor. */
function escapeControls(text: string): string {
  return text.replace(
    /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g,
    (char) => escapes[char] ?? `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
