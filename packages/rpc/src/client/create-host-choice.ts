import type { Random } from "@millrace/core";
import type { HostValues } from "./client-options.ts";
import type { ClientType } from "./client-type.ts";
import {
  createFailover,
  createFirstHost,
  type CreateHostSelector,
  createLoadBalance,
  type HostChoice,
} from "./host-choice.ts";

const penaltyMsDefault = 30_000;

/** How a type of client chooses among its hosts: spread into the options of a route. */
export function createHostChoice(
  type: ClientType,
  values: Pick<HostValues, "maxAttempts" | "backoff" | "maxBackoffMs" | "failBack">,
  createSelector: CreateHostSelector,
  random: Random,
): { choice: HostChoice; penaltyMsMax: number; attemptsMax: number | undefined } {
  const penaltyMsMax = values.maxBackoffMs === 0 ? penaltyMsDefault : values.maxBackoffMs;
  switch (type) {
    case "default":
    case "thrift":
      return { choice: createFirstHost(), penaltyMsMax: 0, attemptsMax: undefined };
    case "default_failover":
    case "grpc": {
      const choice = createFailover(values.failBack);
      return { choice, penaltyMsMax, attemptsMax: values.maxAttempts };
    }
    case "default_loadbalance": {
      const choice = createLoadBalance(createSelector({ random }));
      return { choice, penaltyMsMax: values.backoff ? penaltyMsMax : 0, attemptsMax: undefined };
    }
  }
}
