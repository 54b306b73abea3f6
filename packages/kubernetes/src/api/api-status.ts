import { MillraceError } from "@millrace/core";
import type { IncomingHttpHeaders } from "node:http";
import { textOf } from "./json-fields.ts";

/** The rule that lets the agent in, as it stands in a ClusterRole. */
const rule = `apiGroups [""], resources ["pods"], verbs ["list", "watch"]`;
const retryAfterMsMax = 300_000;

export interface ApiStatus {
  readonly status: number;
  /** Kubernetes' word, such as Expired or Forbidden; empty where there is none. */
  readonly reason: string;
  readonly message: string;
  readonly retryAfterMs: number;
}

/** Reads a Status object, as an answer's body or in an ERROR event; anything else is its text. */
export function readStatus(status: number, body: string, headers: IncomingHttpHeaders): ApiStatus {
  let object: unknown;
  try {
    object = JSON.parse(body);
  } catch {
    object = undefined;
  }
  const code = (object as { code?: unknown } | null | undefined)?.code;
  const seconds = Number(headers["retry-after"] ?? 0);
  return {
    status: typeof code === "number" ? code : status,
    reason: textOf(object, "reason"),
    message: (textOf(object, "message") || body).trim().slice(0, 500),
    retryAfterMs: seconds > 0 ? Math.min(seconds * 1000, retryAfterMsMax) : 0,
  };
}

/** The error of a status that is not OK. It says what an operator has to give the agent. */
export function statusError(
  { status, reason, message, retryAfterMs }: ApiStatus,
  asked: { readonly url: URL; readonly verb: "list" | "watch"; readonly tokenFile: string },
): MillraceError {
  const said = message === "" ? "" : `: ${message}`;
  const answered = `the API server at ${asked.url.origin} answered ${status}`;
  const context = { status, reason, retryAfterMs };
  if (status === 401) {
    return new MillraceError(
      "KUBERNETES_REFUSED",
      `${answered} to the token in ${asked.tokenFile}${said}; the token is of another cluster, has ` +
        `expired, or its service account is gone`,
      { context },
    );
  }
  if (status === 403) {
    return new MillraceError(
      "KUBERNETES_REFUSED",
      `${answered} to "${asked.verb} pods"${said}; bind the agent's service account to a ` +
        `ClusterRole with the rule ${rule}`,
      { context },
    );
  }
  const refused = status >= 300 && status < 500 && status !== 410 && status !== 429;
  return new MillraceError(
    refused ? "KUBERNETES_REFUSED" : "KUBERNETES_UNAVAILABLE",
    `${answered} to "${asked.verb} pods"${said}`,
    { context },
  );
}

/** Whether the resource version, or the page, that was asked for is too old to go on from. */
export function isExpired(error: unknown): boolean {
  return error instanceof MillraceError && error.context["status"] === 410;
}

/** Whether a server answered, and that it cannot do what was asked. */
export function isServersFault(error: unknown): boolean {
  const status = error instanceof MillraceError ? error.context["status"] : undefined;
  return typeof status === "number" && status >= 500;
}

export function retryAfterMs(error: unknown): number {
  const ms = error instanceof MillraceError ? error.context["retryAfterMs"] : undefined;
  return typeof ms === "number" ? ms : 0;
}
