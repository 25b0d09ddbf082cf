import type { CountedEdge } from './machine_counts';

/** Where a state is drawn. */
export interface Box {
  name: string;
  x: number;
  y: number;
  width: number;
  height: number;
  /** A state that many lead to is a long bar, so that no line crosses another. */
  isRail: boolean;
}

/** Where the words of an edge stand: its events, if they are named there, and below its count. */
export interface Label {
  x: number;
  /** Of the base of the first line. */
  y: number;
  anchor: 'start' | 'middle' | 'end';
  isNamed: boolean;
}

/** How an edge is drawn. */
export interface Line {
  id: string;
  path: string;
  label: Label;
  kind: 'forward' | 'loop' | 'error' | 'violation';
}

/** The drawing of the machine. */
export interface Drawing {
  width: number;
  height: number;
  boxes: Box[];
  lines: Line[];
}

const WAY = ['AWAIT_START', 'BETWEEN_BLOCKS', 'IN_BLOCK', 'ENDING', 'STOPPED'];
const RAILS = ['FAILED', 'VIOLATED'];

/** The way of a stream as a row, with what ends it before its time below. */
export function wideDrawing(edges: readonly CountedEdge[]): Drawing {
  const boxHeight = 52;
  const top = 104;
  const starts = [8, 228, 482, 700, 906];
  const widths = [118, 128, 112, 108, 96];
  const rails = [246, 330];
  const width = 1010;
  const boxes: Box[] = WAY.map((name, i) => ({
    name,
    x: starts[i] as number,
    y: top,
    width: widths[i] as number,
    height: boxHeight,
    isRail: false,
  }));
  const failedEnd = (starts[3] as number) + (widths[3] as number);
  boxes.push(rail('FAILED', 8, rails[0] as number, failedEnd - 8, 40));
  boxes.push(rail('VIOLATED', 8, rails[1] as number, width - 16, 40));
  return { width, height: 378, boxes, lines: edges.map((edge) => wideLine(edge, boxes)) };
}

function rail(name: string, x: number, y: number, width: number, height: number): Box {
  return { name, x, y, width, height, isRail: true };
}

function wideLine(edge: CountedEdge, boxes: readonly Box[]): Line {
  const from = boxOf(edge.source, boxes);
  const to = boxOf(edge.target, boxes);
  if (edge.source === edge.target) {
    const x = from.x + (WAY.indexOf(edge.source) < 2 ? 30 : from.width - 30);
    return {
      id: edge.id,
      kind: 'loop',
      path: `M${x - 14} ${from.y}C${x - 22} ${from.y - 36} ${x + 22} ${from.y - 36} ${x + 14} ${from.y}`,
      label: { x, y: from.y - 33, anchor: 'middle', isNamed: false },
    };
  }
  if (to.isRail) {
    const isViolation = edge.target === 'VIOLATED';
    // Beside each other, and past the bar of those that failed.
    const x = from.x + from.width * (from.isRail ? 0.8 : isViolation ? 0.72 : 0.28);
    return {
      id: edge.id,
      kind: isViolation ? 'violation' : 'error',
      path: `M${x} ${from.y + from.height}V${to.y}`,
      label: {
        x: x + 6,
        y: from.isRail ? to.y - 16 : from.y + from.height + 34,
        anchor: 'start',
        isNamed: false,
      },
    };
  }
  const middle = from.y + from.height / 2;
  const isBack = WAY.indexOf(edge.source) > WAY.indexOf(edge.target);
  if (WAY.indexOf(edge.target) - WAY.indexOf(edge.source) > 1) {
    const x1 = from.x + from.width - 26;
    const x2 = to.x + 24;
    return {
      id: edge.id,
      kind: 'forward',
      path: `M${x1} ${from.y}C${x1 + 20} ${from.y - 92} ${x2 - 20} ${from.y - 92} ${x2} ${to.y}`,
      label: { x: (x1 + x2) / 2, y: from.y - 88, anchor: 'middle', isNamed: true },
    };
  }
  const hasBoth = edge.source === 'IN_BLOCK' || edge.target === 'IN_BLOCK';
  const y = hasBoth ? middle + (isBack ? 13 : -13) : middle;
  const x1 = isBack ? from.x : from.x + from.width;
  const x2 = isBack ? to.x + to.width : to.x;
  return {
    id: edge.id,
    kind: 'forward',
    path: `M${x1} ${y}H${x2}`,
    label: { x: (x1 + x2) / 2, y: isBack ? y + 15 : y - 18, anchor: 'middle', isNamed: true },
  };
}

/** The same from top to bottom, for narrow windows: what ends a stream before its time stands to the right. */
export function tallDrawing(edges: readonly CountedEdge[]): Drawing {
  const pitch = 124;
  const boxes: Box[] = WAY.map((name, i) => ({
    name,
    x: 34,
    y: 30 + i * pitch,
    width: 132,
    height: 50,
    isRail: false,
  }));
  const last = boxes[3] as Box;
  const end = boxes[4] as Box;
  boxes.push({ name: 'FAILED', x: 252, y: 20, width: 30, height: last.y + last.height - 10, isRail: true });
  boxes.push({ name: 'VIOLATED', x: 324, y: 20, width: 30, height: end.y + end.height - 10, isRail: true });
  return {
    width: 358,
    height: end.y + end.height + 12,
    boxes,
    lines: edges.map((edge) => tallLine(edge, boxes)),
  };
}

function tallLine(edge: CountedEdge, boxes: readonly Box[]): Line {
  const from = boxOf(edge.source, boxes);
  const to = boxOf(edge.target, boxes);
  if (edge.source === edge.target) {
    const x = from.x + from.width - 22;
    const y = from.y + from.height;
    return {
      id: edge.id,
      kind: 'loop',
      path: `M${x - 10} ${y}C${x - 16} ${y + 22} ${x + 16} ${y + 22} ${x + 10} ${y}`,
      label: { x: x + 18, y: y + 14, anchor: 'start', isNamed: false },
    };
  }
  if (to.isRail) {
    const isViolation = edge.target === 'VIOLATED';
    const y = from.isRail ? from.y + from.height * 0.78 : from.y + from.height * (isViolation ? 0.76 : 0.28);
    const x = from.x + from.width;
    return {
      id: edge.id,
      kind: isViolation ? 'violation' : 'error',
      path: `M${x} ${y}H${to.x}`,
      label: {
        x: isViolation ? to.x - 8 : x + 8,
        y: y - 4,
        anchor: isViolation ? 'end' : 'start',
        isNamed: false,
      },
    };
  }
  const middle = from.x + from.width / 2;
  const isBack = WAY.indexOf(edge.source) > WAY.indexOf(edge.target);
  if (WAY.indexOf(edge.target) - WAY.indexOf(edge.source) > 1) {
    const y1 = from.y + from.height - 12;
    const y2 = to.y + 14;
    return {
      id: edge.id,
      kind: 'forward',
      path: `M${from.x} ${y1}C${from.x - 40} ${y1 + 20} ${from.x - 40} ${y2 - 20} ${to.x} ${y2}`,
      label: { x: 2, y: from.y - 14, anchor: 'start', isNamed: true },
    };
  }
  const isPair = WAY.indexOf(edge.source) + WAY.indexOf(edge.target) === 3 && edge.source !== 'AWAIT_START';
  const x = isPair ? middle + (isBack ? 14 : -26) : middle;
  const y1 = isBack ? from.y : from.y + from.height;
  const y2 = isBack ? to.y + to.height : to.y;
  const top = Math.min(y1, y2);
  return {
    id: edge.id,
    kind: 'forward',
    path: `M${x} ${y1}V${y2}`,
    label: {
      x: middle + (isPair ? 22 : 8),
      y: top + (isPair && isBack ? 54 : 28),
      anchor: 'start',
      isNamed: true,
    },
  };
}

function boxOf(name: string, boxes: readonly Box[]): Box {
  const found = boxes.find((box) => box.name === name);
  if (!found) throw new Error(`the drawing has no state ${name}`);
  return found;
}

/** Whether the drawing knows all states of a machine; a later version may have more. */
export function canDraw(names: readonly string[]): boolean {
  const known = new Set([...WAY, ...RAILS]);
  return names.length === known.size && names.every((name) => known.has(name));
}
