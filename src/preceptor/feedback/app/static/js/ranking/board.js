/**
 * A ranking as levels of cards, the best first: pure functions, each gives new levels. Cards on one level are tied;
 * cards on none are not ranked yet.
 *
 * @typedef {number[][]} Levels cards by their number in the order shown, from 0
 */

/** The rank of a card, 1 the best; null if it has none yet. */
export function rankOf(levels, card) {
  const found = levels.findIndex((level) => level.includes(card));
  return found < 0 ? null : found + 1;
}

/** Take a card off the board. */
export function without(levels, card) {
  return levels.map((level) => level.filter((one) => one !== card)).filter((level) => level.length);
}

/** Put a card on a level that is there, with those who are on it. */
export function onLevel(levels, card, index) {
  return levels
    .map((level, k) => {
      const others = level.filter((one) => one !== card);
      return k === index ? [...others, card].sort((a, b) => a - b) : others;
    })
    .filter((level) => level.length);
}

/** Put a card on a level of its own, before level `index` as they are now; their number puts it last. */
export function between(levels, card, index) {
  const made = [];
  for (let k = 0; k <= levels.length; k += 1) {
    if (k === index) made.push([card]);
    if (k < levels.length) made.push(levels[k].filter((one) => one !== card));
  }
  return made.filter((level) => level.length);
}

/** Half a step to better: out of a tie onto a level above it, or from a level of its own into a tie with the one above. */
export function raise(levels, card) {
  const index = levels.findIndex((level) => level.includes(card));
  if (index < 0) return between(levels, card, levels.length);
  if (levels[index].length > 1) return between(levels, card, index);
  return index ? onLevel(levels, card, index - 1) : levels;
}

/** Half a step to worse. */
export function lower(levels, card) {
  const index = levels.findIndex((level) => level.includes(card));
  if (index < 0) return between(levels, card, levels.length);
  if (levels[index].length > 1) return between(levels, card, index + 1);
  return index < levels.length - 1 ? onLevel(levels, card, index + 1) : levels;
}

/** Rank a card straight away: in a tie with whoever has that rank, or last if nobody has. */
export function toRank(levels, card, rank) {
  const rest = without(levels, card);
  return rank > rest.length ? [...rest, [card]] : onLevel(rest, card, rank - 1);
}

/** Levels by ratings: the higher the better, equal ones tied; cards without a rating stay off. */
export function byRatings(overalls) {
  const given = [...new Set(overalls.filter((overall) => overall !== null))].sort((a, b) => b - a);
  return given.map((value) => overalls.flatMap((overall, card) => (overall === value ? [card] : [])));
}

/** Ranks in the order shown; null for cards that have none. */
export function toRanks(levels, count) {
  return Array.from({ length: count }, (_, card) => rankOf(levels, card));
}

/** Levels out of ranks. */
export function fromRanks(ranks) {
  return [...new Set(ranks)].sort((a, b) => a - b).map((rank) => ranks.flatMap((one, card) => (one === rank ? [card] : [])));
}

/** Whether these are levels of so many cards: drafts come from storage. */
export function isLevels(levels, count) {
  if (!Array.isArray(levels) || !levels.every((level) => Array.isArray(level) && level.length)) return false;
  const cards = levels.flat();
  return new Set(cards).size === cards.length && cards.every((card) => Number.isInteger(card) && card >= 0 && card < count);
}
