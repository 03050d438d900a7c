// Where symbols are added, and the line below it that says what is wrong or waited for.

import { type FormEvent, useId, useState } from 'react';
import { useCountdown } from '../lib/useCountdown';
import { readSymbols } from '../lib/watchlist';
import { type RateLimit, useWebSocketContext } from '../websocket';

interface Props {
  held: readonly string[];
  max: number;
  onAdd: (symbols: string[]) => void;
}

export function SymbolForm({ held, max, onAdd }: Props) {
  const { rateLimits } = useWebSocketContext();
  const [text, setText] = useState('');
  const [wrong, setWrong] = useState('');
  const input = useId();
  const hint = useId();
  const limit = rateLimits.find(({ event }) => event === 'subscribe:watchlist');

  function submit(event: FormEvent) {
    event.preventDefault();
    const { symbols, bad } = readSymbols(text);
    const added = symbols.filter((symbol) => !held.includes(symbol));
    if (bad.length > 0) setWrong(`Not a symbol: ${bad[0]}`);
    else if (symbols.length === 0) setWrong('Type a symbol, such as MSFT');
    else if (added.length === 0) setWrong(`${symbols.join(', ')} is on the list already`);
    else if (held.length + added.length > max) setWrong(`A list holds ${max} symbols at most`);
    else {
      onAdd(added);
      setText('');
      setWrong('');
    }
  }

  return (
    <form className="symbol-form" onSubmit={submit} noValidate>
      <label htmlFor={input}>Add symbols</label>
      <div className="field">
        <input
          id={input}
          value={text}
          onChange={(event) => {
            setText(event.target.value);
            setWrong('');
          }}
          placeholder="MSFT, AMD"
          autoComplete="off"
          autoCapitalize="characters"
          spellCheck={false}
          aria-invalid={wrong !== ''}
          aria-describedby={hint}
        />
        <button type="submit">Add</button>
      </div>
      <div id={hint} className="hint" aria-live="polite">
        {wrong ? (
          <span className="wrong">{wrong}</span>
        ) : limit ? (
          <BackingOff limit={limit} />
        ) : (
          'Separated by commas or blanks'
        )}
      </div>
    </form>
  );
}

/** The seconds are not read out each time they change; that it goes on by itself is enough. */
function BackingOff({ limit }: { limit: RateLimit }) {
  const seconds = useCountdown(limit.retryAt);
  return (
    <span className="limited" data-testid="rate-limit">
      {limit.message}.<span aria-hidden="true"> Tried again in {seconds} s.</span>
      <span className="visually-hidden"> It is tried again by itself.</span>
    </span>
  );
}
