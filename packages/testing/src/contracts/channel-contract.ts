import { channelLifecycleContract } from "./channel/lifecycle.ts";
import { modelContract } from "./channel/model.ts";
import { keptPutContract, putContract } from "./channel/puts.ts";
import { takeContract } from "./channel/takes.ts";
import { type MakeChannel, suiteOf } from "./channel/channel-under-test.ts";

export type { ChannelLimits, ChannelUnderTest, MakeChannel } from "./channel/channel-under-test.ts";

export interface ChannelTraits {
  /** False for a channel that holds nothing: it withdraws what nobody takes, and answers late. */
  readonly keeps?: boolean;
}

/**
 * The tests every channel passes whose commits do not wait for takes. `make` is called for each test
 * and gives a fresh channel that runs on a fake clock; nothing waits for real time.
 */
export function channelContract(name: string, make: MakeChannel, traits: ChannelTraits = {}): void {
  const { keeps = true } = traits;
  const suite = suiteOf(name, make);
  putContract(suite);
  if (keeps) keptPutContract(suite);
  takeContract(suite);
  channelLifecycleContract(name, make, suite);
  modelContract(suite);
}

/** The part of it that a channel without a capacity passes, too: order, places, waiting of takes. */
export function channelTakeContract(name: string, make: MakeChannel): void {
  takeContract(suiteOf(name, make));
}
