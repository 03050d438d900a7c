// The id of the last trade event that this tab has handled. Per tab (sessionStorage), because another tab
// may have handled more or less; it survives a reload.

export class EventMemory {
  readonly #key: string;
  /** For browsers that keep nothing: then a reload forgets. */
  #last: string | undefined;

  constructor(who: string) {
    this.#key = `tradewire:last-event:${who}`;
    try {
      this.#last = sessionStorage.getItem(this.#key) ?? undefined;
    } catch {
      // Storage is forbidden.
    }
  }

  get last(): string | undefined {
    return this.#last;
  }

  set last(eventId: string | undefined) {
    this.#last = eventId;
    try {
      if (eventId === undefined) sessionStorage.removeItem(this.#key);
      else sessionStorage.setItem(this.#key, eventId);
    } catch {
      // Storage is forbidden or full.
    }
  }
}
