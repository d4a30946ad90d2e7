// The map's marks, painted once each on a canvas. An icon's id says everything about it.

import type { Map as MapLibre } from 'maplibre-gl';

import { SHAPES } from '../shapes';

export interface IconLook {
  shape: string;
  colour: string;
  priority: number;
  conflict: boolean;
  closed: boolean;
}

const RATIO = 2;

export const iconId = (look: IconLook): string =>
  [look.shape, look.colour, look.priority, look.conflict ? 'conflict' : '', look.closed ? 'closed' : ''].join('|');

export function parseIconId(id: string): IconLook {
  const [shape = 'other', colour = '#888888', priority = '0', conflict = '', closed = ''] = id.split('|');
  return { shape, colour, priority: Number(priority), conflict: conflict === 'conflict', closed: closed === 'closed' };
}

/** Adds the icon unless the map has it. */
export function ensureIcon(map: MapLibre, id: string): void {
  if (!map.hasImage(id)) map.addImage(id, paint(parseIconId(id)), { pixelRatio: RATIO });
}

function paint(look: IconLook): ImageData {
  const size = look.shape === 'alert' ? 38 : look.shape === 'device' ? 18 : look.priority >= 200 ? 30 : 24;
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = size * RATIO;
  const context = canvas.getContext('2d')!;
  context.scale(RATIO, RATIO);
  if (look.shape === 'device') paintDevice(context, size, look.colour);
  else paintShape(context, size, look);
  if (look.conflict) paintConflict(context, size);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

function paintShape(context: CanvasRenderingContext2D, size: number, look: IconLook): void {
  const ring = look.priority >= 300 ? 4 : look.priority >= 200 ? 2.5 : 1.5;
  const inner = size - 2 * ring - 2;
  const path = new Path2D(SHAPES[look.shape] ?? SHAPES.other);
  context.save();
  context.translate((size - inner) / 2, (size - inner) / 2);
  context.scale(inner / 24, inner / 24);
  context.lineJoin = 'round';
  context.strokeStyle = '#fffdf6';
  context.lineWidth = ((ring + 1.5) * 2 * 24) / inner;
  context.stroke(path);
  context.strokeStyle = '#14262b';
  context.lineWidth = (ring * 2 * 24) / inner;
  context.stroke(path);
  context.fillStyle = look.closed ? '#fffdf6' : look.colour;
  context.fill(path);
  if (look.closed) {
    context.strokeStyle = look.colour;
    context.lineWidth = 4;
    context.save();
    context.clip(path);
    context.stroke(path);
    context.restore();
  }
  if (!look.closed && look.shape === 'alert') paintMark(context, 5, 9);
  if (!look.closed && look.shape === 'warning') paintMark(context, 8.5, 6.5);
  context.restore();
}

/** The exclamation mark of an open alert. */
function paintMark(context: CanvasRenderingContext2D, top: number, height: number): void {
  context.fillStyle = '#ffffff';
  context.fillRect(10.5, top, 3, height);
  context.fillRect(10.5, top + height + 1.6, 3, 3);
}

function paintDevice(context: CanvasRenderingContext2D, size: number, colour: string): void {
  const disc = (radius: number, fill: string) => {
    context.beginPath();
    context.arc(size / 2, size / 2, radius, 0, 2 * Math.PI);
    context.fillStyle = fill;
    context.fill();
  };
  disc(8.5, '#fffdf6');
  disc(7.5, '#14262b');
  disc(5.5, colour);
  disc(2, '#fffdf6');
}

function paintConflict(context: CanvasRenderingContext2D, size: number): void {
  const [x, y, r] = [size - 6, 6, 5.5];
  context.beginPath();
  context.arc(x, y, r, 0, 2 * Math.PI);
  context.fillStyle = '#f0e442';
  context.fill();
  context.strokeStyle = '#14262b';
  context.lineWidth = 1.2;
  context.stroke();
  context.beginPath();
  context.moveTo(x - 2.8, y - 1.4);
  context.lineTo(x + 2.8, y - 1.4);
  context.moveTo(x - 2.8, y + 1.4);
  context.lineTo(x + 2.8, y + 1.4);
  context.moveTo(x + 1.6, y - 3.4);
  context.lineTo(x - 1.6, y + 3.4);
  context.stroke();
}
