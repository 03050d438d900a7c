// A change for the better or the worse: arrow, sign and colour, each of which is enough.

import { ARROW, direction } from '../lib/format';

export function Change({ by, children }: { by: unknown; children: string }) {
  const way = direction(by);
  return (
    <span className={`change ${way}`}>
      <span className="arrow" aria-hidden="true">
        {ARROW[way]}
      </span>
      {children}
    </span>
  );
}
