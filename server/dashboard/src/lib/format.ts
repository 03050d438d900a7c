// How numbers and times read. Always with two decimals at least, so that columns of figures line up.

const money = new Intl.NumberFormat(undefined, { style: 'currency', currency: 'USD' });
const price = new Intl.NumberFormat(undefined, {
  style: 'currency',
  currency: 'USD',
  minimumFractionDigits: 2,
  maximumFractionDigits: 6,
});
const signedMoney = new Intl.NumberFormat(undefined, { style: 'currency', currency: 'USD', signDisplay: 'exceptZero' });
const signedPercent = new Intl.NumberFormat(undefined, {
  style: 'percent',
  minimumFractionDigits: 2,
  maximumFractionDigits: 2,
  signDisplay: 'exceptZero',
});
const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 6 });
const compact = new Intl.NumberFormat(undefined, {
  notation: 'compact',
  minimumFractionDigits: 1,
  maximumFractionDigits: 1,
});
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const hour = new Intl.DateTimeFormat(undefined, { hour: 'numeric', minute: '2-digit' });

/** What stands where a number is missing. */
export const NONE = '–';

const number =
  (show: (value: number) => string) =>
  (value: unknown): string =>
    typeof value === 'number' && Number.isFinite(value) ? show(value) : NONE;

const date =
  (format: Intl.DateTimeFormat) =>
  (value: unknown): string => {
    const time = new Date(typeof value === 'string' ? value : Number.NaN);
    return Number.isNaN(time.getTime()) ? NONE : format.format(time);
  };

export const formatMoney = number((value) => money.format(value));
export const formatPrice = number((value) => price.format(value));
export const formatSignedMoney = number((value) => signedMoney.format(value));
/** The value is in percent, as the server sends it. */
export const formatPercent = number((value) => signedPercent.format(value / 100));
export const formatQuantity = number((value) => whole.format(value));
export const formatVolume = number((value) => compact.format(value));
export const formatTime = date(clock);
export const formatHour = date(hour);

export type Direction = 'up' | 'down' | 'flat';

/** As it is shown: what rounds to 0.00 has no direction. */
export function direction(value: unknown): Direction {
  if (typeof value !== 'number' || Number.isNaN(value) || Math.abs(value) < 0.005) return 'flat';
  return value > 0 ? 'up' : 'down';
}

/** Beside the sign and the colour, so that neither is needed. */
export const ARROW: Record<Direction, string> = { up: '▲', down: '▼', flat: '◆' };
