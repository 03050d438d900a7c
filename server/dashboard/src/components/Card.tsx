// A titled part of the page.

import { type ReactNode, useId } from 'react';

interface Props {
  title: string;
  className?: string;
  /** Beside the title. */
  aside?: ReactNode;
  children: ReactNode;
}

export function Card({ title, className = '', aside, children }: Props) {
  const id = useId();
  return (
    <section className={`card ${className}`} aria-labelledby={id}>
      <header>
        <h2 id={id}>{title}</h2>
        {aside}
      </header>
      {children}
    </section>
  );
}

/** What a card shows while it has nothing to show; in the space that the content will take. */
export function Waiting({ children }: { children: ReactNode }) {
  return (
    <p className="waiting" role="status">
      <span className="spinner" aria-hidden="true" />
      {children}
    </p>
  );
}
