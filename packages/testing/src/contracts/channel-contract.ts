import { channelLifecycleContract } from "./channel/lifecycle.ts";
import { modelContract } from "./channel/model.ts";
import { putContract } from "./channel/puts.ts";
import { takeContract } from "./channel/takes.ts";
import { type MakeChannel, suiteOf } from "./channel/channel-under-test.ts";

export type { ChannelLimits, ChannelUnderTest, MakeChannel } from "./channel/channel-under-test.ts";

/**
 * The tests every channel passes that keeps events between a commit and a take. `make` is called
 * for each test and gives a fresh channel that runs on a fake clock; nothing waits for real time.
 */
export function channelContract(name: string, make: MakeChannel): void {
  const suite = suiteOf(name, make);
  putContract(suite);
  takeContract(suite);
  channelLifecycleContract(name, make, suite);
  modelContract(suite);
}
