import { type ErrorCode, type Metrics, type MillraceError, systemErrorCode } from "@millrace/core";

/** Counts one failure under its reason. */
export type CountFailure = (error: MillraceError) => void;

const reasonOfCode: Partial<Record<ErrorCode, string>> = {
  RPC_CONNECT_FAILED: "connect",
  RPC_TLS_FAILED: "tls",
  RPC_HANDSHAKE_FAILED: "handshake",
  RPC_STATUS_FAILED: "failed",
  RPC_SYSTEM_ERROR: "system_error",
  RPC_TIMEOUT: "timeout",
  RPC_CONNECTION_LOST: "cut",
  RPC_REPLY_MALFORMED: "malformed_reply",
  RPC_HOSTS_UNAVAILABLE: "no_host",
};

/** What TCP says of a peer that has vanished without a word. */
const vanished = new Set(["ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH", "EHOSTDOWN"]);
const reasons = [...Object.values(reasonOfCode), "half_open", "other"];

/** Declares `millrace_sink_failures_total`, every reason at 0. */
export function declareSinkFailures(metrics: Metrics): CountFailure {
  const counters = new Map(
    reasons.map((reason) => [
      reason,
      metrics.counter(
        "millrace_sink_failures_total",
        "Times a next hop did not take a batch, by reason; each is tried again.",
        { reason },
      ),
    ]),
  );
  return (error) => {
    const counter = counters.get(reasonOf(error));
    if (counter !== undefined) counter.value++;
  };
}

/**
 * A connection whose peer has vanished is `half_open` when TCP gave it up; most often the request
 * timeout is over long before, and nobody can tell it from a peer that is slow: `timeout`.
 */
function reasonOf(error: MillraceError): string {
  const isHalfOpen =
    error.code === "RPC_CONNECTION_LOST" && vanished.has(systemErrorCode(error.cause));
  return isHalfOpen ? "half_open" : (reasonOfCode[error.code] ?? "other");
}
