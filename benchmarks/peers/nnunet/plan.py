"""nnU-Net's plans of raw datasets whose fingerprints are known."""

from exchange import read, write
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import (
    ExperimentPlanner,
)
from nnunetv2.experiment_planning.experiment_planners.residual_unets import (
    residual_encoder_unet_planners as residual,
)

PLANNERS = {"plain": ExperimentPlanner, "resenc-m": residual.nnUNetPlannerResEncM}


def main() -> None:
    settings, _ = read()
    plans = {}
    for job in settings["jobs"]:
        planner = PLANNERS[job["planner"]](
            job["dataset"], plans_name=job["name"], overwrite_target_spacing=job["spacing"]
        )
        plans[job["name"]] = planner.plan_experiment()
    write(plans)


if __name__ == "__main__":
    main()
