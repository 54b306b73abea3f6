import type { Clock, Timer } from "@millrace/core";
import type { GroupMember, Turn } from "./group-member.ts";

/**
 * Whom a batch goes to, given who has been asked for it: a member that has room, "wait" while only
 * members could take it that have none, "nobody" when no member is left to ask.
 */
export type Choose = (tried: ReadonlySet<GroupMember>) => GroupMember | "wait" | "nobody";

interface Waiting {
  readonly order: number;
  readonly choose: Choose;
  readonly tried: Set<GroupMember>;
  readonly decided: (turn: Turn | undefined) => void;
  readonly failed: (error: unknown) => void;
}

/** One batch's way from member to member. */
export interface Ticket {
  /**
   * Ends the turn before and resolves with the next member's, begun; undefined when nobody is left,
   * or the delivery is given up. Rejects with what the choosing threw.
   */
  next(giveUp: AbortSignal): Promise<Turn | undefined>;
  /** Ends the last turn. */
  leave(): void;
}

/**
 * Gives each delivery of a group its member, and makes it wait while the members that could take it
 * have no room. The older delivery goes first, so that a member with room for one gets its batches
 * in the order they were taken.
 */
export class GroupTurns {
  readonly #members: readonly GroupMember[];
  readonly #clock: Clock;
  #entered = 0;
  /** Oldest first. */
  #waiting: Waiting[] = [];
  #timer: Timer | undefined;

  constructor(members: readonly GroupMember[], clock: Clock) {
    this.#members = members;
    this.#clock = clock;
  }

  enter(choose: Choose): Ticket {
    const order = this.#entered++;
    const tried = new Set<GroupMember>();
    let current: Turn | undefined;
    const end = (): void => {
      current?.member.end(current);
      current = undefined;
    };
    return {
      next: async (giveUp) => {
        end();
        if (giveUp.aborted) return undefined;
        // In line before anyone else hears of the room that the turn before has left.
        current = await this.#wait({ order, choose, tried }, giveUp);
        if (current !== undefined) tried.add(current.member);
        return current;
      },
      leave: () => {
        end();
        this.#assign();
      },
    };
  }

  #wait(
    given: Pick<Waiting, "order" | "choose" | "tried">,
    giveUp: AbortSignal,
  ): Promise<Turn | undefined> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiting = this.#waiting.filter((other) => other !== waiting);
        this.#watchPenalties();
        resolve(undefined);
      };
      const settle = (): void => giveUp.removeEventListener("abort", leave);
      const waiting: Waiting = {
        ...given,
        decided: (turn) => (settle(), resolve(turn)),
        failed: (error) => (settle(), reject(error as Error)),
      };
      const behind = this.#waiting.findIndex(({ order }) => order > given.order);
      this.#waiting.splice(behind < 0 ? this.#waiting.length : behind, 0, waiting);
      this.#assign();
      if (this.#waiting.includes(waiting)) giveUp.addEventListener("abort", leave);
    });
  }

  /** Begins the turns of all who need not wait, the oldest first. */
  #assign(): void {
    const before = this.#waiting;
    this.#waiting = [];
    for (const waiting of before) {
      try {
        const choice = waiting.choose(waiting.tried);
        if (choice === "wait") this.#waiting.push(waiting);
        else waiting.decided(choice === "nobody" ? undefined : choice.begin());
      } catch (error) {
        waiting.failed(error);
      }
    }
    this.#watchPenalties();
  }

  /** Who waits for a busy member is given one whose penalty is over meanwhile, if it was asked or not. */
  #watchPenalties(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#waiting.length === 0) return;
    const penalised = this.#members.filter(({ penaltyMs }) => penaltyMs > 0);
    if (penalised.length === 0) return;
    const soonestMs = Math.min(...penalised.map(({ penaltyMs }) => penaltyMs));
    this.#timer = this.#clock.setTimer(soonestMs, () => {
      const over = penalised.filter(({ penaltyMs }) => penaltyMs === 0);
      for (const { tried } of this.#waiting) for (const member of over) tried.delete(member);
      this.#assign();
    });
  }
}
