import type { ComponentChildren } from 'preact';
import { useEffect, useId, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { cx } from '../lib/cx';
import { Button, type ButtonKind } from './button';
import { CheckIcon, ChevronDownIcon, type Icon } from './icons';
import css from './menu.module.css';

/** One thing that a menu offers. */
export interface MenuItem {
  label: string;
  icon?: Icon;
  /** Says more, in small letters. */
  hint?: string;
  onSelect?: () => void;
  /** Makes it a link. */
  href?: string;
  /** Makes it a choice that is on or off; the menu then stays open. */
  checked?: boolean;
  tone?: 'danger';
  disabled?: boolean;
}

interface MenuProps {
  /** The button's text, or with `iconOnly` its name. */
  label: string;
  icon?: Icon;
  iconOnly?: boolean;
  kind?: ButtonKind;
  items: readonly MenuItem[];
  /** Stands above the items. */
  header?: ComponentChildren;
  /** Only one of the checked items is on. */
  choice?: 'one' | 'many';
  disabled?: boolean;
  class?: string;
}

/** A button that opens a list of things to do. Arrow keys move, Escape closes and gives focus back. */
export function Menu(props: MenuProps) {
  const [open, setOpen] = useState(false);
  const id = useId();
  const root = useRef<HTMLDivElement>(null);
  const { icon: Shown } = props;
  const trigger = () => root.current?.querySelector<HTMLElement>(':scope > button');

  function close(giveBack: boolean): void {
    setOpen(false);
    if (giveBack) trigger()?.focus();
  }

  return (
    <div class={cx(css.menu, props.class)} ref={root}>
      <Button
        kind={props.kind ?? (props.iconOnly ? 'quiet' : 'plain')}
        class={props.iconOnly ? css.iconOnly : undefined}
        aria-haspopup="menu"
        aria-expanded={open}
        aria-controls={open ? id : undefined}
        aria-label={props.iconOnly ? props.label : undefined}
        title={props.iconOnly ? props.label : undefined}
        disabled={props.disabled}
        onClick={() => setOpen(!open)}
        onKeyDown={(event) => {
          if (event.key !== 'ArrowDown' || open) return;
          event.preventDefault();
          setOpen(true);
        }}
      >
        {Shown && <Shown />}
        {!props.iconOnly && (
          <>
            {props.label}
            <ChevronDownIcon size={13} />
          </>
        )}
      </Button>
      {open && <MenuList {...props} id={id} trigger={trigger} onClose={close} />}
    </div>
  );
}

const MARGIN = 8;

function MenuList(
  props: MenuProps & {
    id: string;
    trigger: () => HTMLElement | null | undefined;
    onClose: (giveBack: boolean) => void;
  },
) {
  const list = useRef<HTMLDivElement>(null);
  const { trigger, onClose } = props;
  const latestClose = useRef(onClose);
  latestClose.current = onClose;

  useLayoutEffect(() => {
    const shown = list.current;
    const from = trigger()?.getBoundingClientRect();
    if (!shown || !from) return;
    // In the top layer no table or panel cuts it off.
    shown.showPopover?.();
    const { width, height } = shown.getBoundingClientRect();
    const right = window.innerWidth - MARGIN - width;
    const left = from.left + width > window.innerWidth - MARGIN ? from.right - width : from.left;
    shown.style.left = `${Math.max(MARGIN, Math.min(left, right))}px`;
    const fitsBelow = from.bottom + 4 + height <= window.innerHeight - MARGIN;
    shown.style.top = `${fitsBelow ? from.bottom + 4 : Math.max(MARGIN, from.top - 4 - height)}px`;
    itemsOf(shown)[0]?.focus();
  }, []);

  useEffect(() => {
    const outside = (event: Event) => {
      const target = event.target as Node;
      if (!list.current?.contains(target) && !trigger()?.contains(target)) latestClose.current(false);
    };
    const moved = (event: Event) => {
      if (!list.current?.contains(event.target as Node)) latestClose.current(false);
    };
    // Its target is the window, which is within nothing.
    const resized = () => latestClose.current(false);
    document.addEventListener('pointerdown', outside);
    document.addEventListener('scroll', moved, true);
    window.addEventListener('resize', resized);
    return () => {
      document.removeEventListener('pointerdown', outside);
      document.removeEventListener('scroll', moved, true);
      window.removeEventListener('resize', resized);
    };
  }, [trigger]);

  function onKeyDown(event: KeyboardEvent): void {
    const shown = list.current;
    if (!shown) return;
    const items = itemsOf(shown);
    const at = items.indexOf(document.activeElement as HTMLElement);
    const to: Record<string, number> = {
      ArrowDown: at === items.length - 1 ? 0 : at + 1,
      ArrowUp: at <= 0 ? items.length - 1 : at - 1,
      Home: 0,
      End: items.length - 1,
    };
    if (event.key === 'Escape') {
      event.preventDefault();
      event.stopPropagation();
      onClose(true);
    } else if (event.key === 'Tab') {
      onClose(true);
    } else if (to[event.key] !== undefined) {
      event.preventDefault();
      items[to[event.key] as number]?.focus();
    } else if (event.key.length === 1 && event.key !== ' ') {
      const letter = event.key.toLowerCase();
      const rest = [...items.slice(at + 1), ...items.slice(0, at + 1)];
      rest.find((item) => item.textContent?.trim().toLowerCase().startsWith(letter))?.focus();
    }
  }

  return (
    <div class={css.list} ref={list} popover="manual">
      {props.header && <div class={css.header}>{props.header}</div>}
      <div id={props.id} role="menu" tabIndex={-1} aria-label={props.label} onKeyDown={onKeyDown}>
        {props.items.map((item) => (
          <Item key={item.label} item={item} choice={props.choice} onClose={onClose} />
        ))}
      </div>
    </div>
  );
}

function itemsOf(list: HTMLElement): HTMLElement[] {
  return [...list.querySelectorAll<HTMLElement>('[data-menu-item]:not([disabled])')];
}

function Item({
  item,
  choice,
  onClose,
}: {
  item: MenuItem;
  choice?: 'one' | 'many';
  onClose: (giveBack: boolean) => void;
}) {
  const { icon: Shown, checked } = item;
  const content = (
    <>
      {checked !== undefined && <span class={css.mark}>{checked && <CheckIcon size={14} />}</span>}
      {Shown && <Shown size={15} />}
      <span>
        {item.label}
        {item.hint && <span class={css.hint}>{item.hint}</span>}
      </span>
    </>
  );
  const className = cx(css.item, item.tone === 'danger' && css.danger);
  if (item.href !== undefined) {
    return (
      <a
        class={className}
        href={item.href}
        role="menuitem"
        data-menu-item=""
        tabIndex={-1}
        onClick={() => {
          item.onSelect?.();
          onClose(false);
        }}
      >
        {content}
      </a>
    );
  }
  const state =
    checked === undefined
      ? ({ role: 'menuitem' } as const)
      : ({ role: choice === 'one' ? 'menuitemradio' : 'menuitemcheckbox', 'aria-checked': checked } as const);
  return (
    <button
      type="button"
      class={className}
      {...state}
      data-menu-item=""
      tabIndex={-1}
      disabled={item.disabled}
      onClick={() => {
        if (checked === undefined || choice === 'one') onClose(true);
        item.onSelect?.();
      }}
    >
      {content}
    </button>
  );
}
