import type {
  CompareRun,
  ConformanceRun,
  DoctorRun,
  Kind,
  PlanView,
  SmokeRun,
  ToolView,
} from '../../api/schema';

/** What somebody has chosen for a run. */
export interface Wishes {
  /** Of the tool's plans. */
  choice: number;
  model: string;
  bigBodies: boolean;
  oldKey: string;
}

/** A run as the admin API takes it. */
export type NewRun = SmokeRun | DoctorRun | CompareRun | ConformanceRun;

/** What is chosen before anybody chooses: the tool's usual plan, a cheap model. */
export function usual(tool: ToolView): Wishes {
  return { choice: tool.plans[0]?.choice ?? 0, model: '', bigBodies: true, oldKey: '' };
}

export function planOf(tool: ToolView, wishes: Wishes): PlanView | undefined {
  return tool.plans.find((plan) => plan.choice === wishes.choice) ?? tool.plans[0];
}

/** Why a run cannot be started as it is wished for; undefined if it can. */
export function lacking(kind: Kind, wishes: Wishes): 'oldKey' | 'oldKeyForm' | 'model' | undefined {
  if (kind === 'compare' && wishes.oldKey.trim() === '') return 'oldKey';
  if (kind === 'compare' && !/^[!-~]{1,1000}$/.test(wishes.oldKey.trim())) return 'oldKeyForm';
  return /^[\w.:@/[\]-]{0,200}$/.test(wishes.model.trim()) ? undefined : 'model';
}

/** What is sent to start a run. */
export function orderOf(kind: Kind, wishes: Wishes): NewRun {
  const model = wishes.model.trim();
  switch (kind) {
    case 'smoke':
      return { kind, model, streams: wishes.choice as SmokeRun['streams'], big_bodies: wishes.bigBodies };
    case 'doctor':
      return { kind, model };
    case 'compare':
      return {
        kind,
        model,
        rounds: wishes.choice as CompareRun['rounds'],
        old_key: wishes.oldKey.trim(),
      };
    case 'conformance':
      return { kind, quick: wishes.choice === 1 };
  }
}
