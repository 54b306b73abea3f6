import { type ErrorCode, MillraceError } from "@millrace/core";

const tooLarge = new Set(["MESSAGE_TOO_LARGE", "RECORD_LIST_TOO_LARGE"]);
const refusals = new Set([
  "TOPIC_AUTHORIZATION_FAILED",
  "GROUP_AUTHORIZATION_FAILED",
  "CLUSTER_AUTHORIZATION_FAILED",
  "INVALID_TOPIC_EXCEPTION",
  "INVALID_REQUIRED_ACKS",
  "INVALID_SESSION_TIMEOUT",
  "INCONSISTENT_GROUP_PROTOCOL",
  "POLICY_VIOLATION",
  "UNSUPPORTED_VERSION",
  "UNSUPPORTED_SASL_MECHANISM",
  "SASL_AUTHENTICATION_FAILED",
]);
const refusalNames = new Set([
  "KafkaJSNotImplemented",
  "KafkaJSSASLAuthenticationError",
  "KafkaJSUnsupportedMagicByteInMessageSet",
  "KafkaJSServerDoesNotSupportApiKey",
]);

/** What the client library threw, as one of ours: the innermost reason that says more decides. */
export function toKafkaError(thrown: unknown, what: string): MillraceError {
  if (thrown instanceof MillraceError) return thrown;
  let code: ErrorCode = "KAFKA_UNAVAILABLE";
  let text = "";
  let cause: unknown = thrown;
  for (let depth = 0; cause instanceof Error && depth < 8; depth++) {
    const type = "type" in cause && typeof cause.type === "string" ? cause.type : "";
    if (tooLarge.has(type)) code = "KAFKA_RECORD_TOO_LARGE";
    else if (refusals.has(type) || refusalNames.has(cause.name)) code = "KAFKA_REFUSED";
    text = type === "" ? cause.message : `${cause.message} (${type})`;
    if (code !== "KAFKA_UNAVAILABLE") break;
    cause = cause.cause;
  }
  return new MillraceError(code, `${what}: ${text === "" ? String(thrown) : text}`, {
    cause: thrown,
  });
}
