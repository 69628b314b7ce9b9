"""What happens in a run, as lines of `events.jsonl`, and as what its reader sees."""

from __future__ import annotations

from pipelines.executors.scheduling import Watcher
from pipelines.plan import Plan, Stage
from pipelines.progress import RunView
from pipelines.stages import Message, Outcome
from pipelines.store import RunFolder


class Record:
    """Writes a run's events. With them alone the state of a run can be told again."""

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self._planned: list[dict[str, str]] | None = None
        self._ended: set[str] = set()
        for event in run.events():
            self._remember(event)

    def planned(self, plan: Plan) -> None:
        """The stages of the plan, where they are not those that were planned last."""
        stages = [{"id": stage.id, "folder": stage.folder} for stage in plan.stages]
        if stages != self._planned:
            self.run.record("planned", stages=stages)

    def broken(self, stage: str, reason: str) -> None:
        """An artefact was altered, and discarded."""
        self._remember({"event": "stage-broken", "stage": stage})
        self.run.record("stage-broken", stage=stage, reason=reason)

    def found(self, plan: Plan) -> int:
        """Tell of finished stages that no event told of; how many are finished in all."""
        done = 0
        for stage in plan.stages:
            manifest = self.run.manifest(stage)
            if manifest is None:
                continue
            done += 1
            if stage.folder not in self._ended:
                self.run.record("stage-found", stage=stage.id, key=stage.key, seconds=manifest["seconds"])
        return done

    def watcher(self, plan: Plan, view: RunView) -> Watcher:
        """What writes down, and shows, what a run's stages do."""

        def message(told: Message) -> None:
            if told.what == "resumed":
                self.run.record("stage-resumed", stage=told.stage, step=told.values["step"])
                return
            view.told(told)

        def started(stage: Stage, attempt: int) -> None:
            self.run.record("stage-started", stage=stage.id, key=stage.key, attempt=attempt)
            view.started(stage)

        def retried(stage: Stage, reason: str) -> None:
            self.run.record("stage-retried", stage=stage.id, reason=reason)
            view.retried(stage, reason)

        def ended(outcome: Outcome) -> None:
            seconds = round(outcome.seconds, 3)
            self.run.record(
                f"stage-{outcome.status}",
                stage=outcome.stage,
                key=plan.stage(outcome.stage).key,
                seconds=seconds,
                reason=outcome.reason,
            )
            view.ended(outcome)

        return Watcher(message, started, retried, ended)

    def _remember(self, event: dict[str, object]) -> None:
        """Which artefacts were told of as finished; a folder's name holds its key."""
        stage, key = event.get("stage"), event.get("key")
        if event.get("event") == "planned" and isinstance(event.get("stages"), list):
            self._planned = event["stages"]  # type: ignore[assignment]
        elif event.get("event") in ("stage-done", "stage-found"):
            self._ended.add(f"{stage}-{key}")
        elif event.get("event") == "stage-broken":
            self._ended = {folder for folder in self._ended if not folder.startswith(f"{stage}-")}
