#!/bin/bash
# One run on many hosts of a Slurm cluster: every job takes trials from one study in PostgreSQL, each trial is trained once.
#
#   pip install "hsicfast[tasks,report,postgres]" hydra-submitit-launcher
#   export HSICFAST_STORE=postgresql+psycopg://me@database.example/hsicfast    # the password in PGPASSWORD or ~/.pgpass
#   bash examples/cluster.sh +task=cifar trainer=gpu n_trials=1000
#
# A job that is killed or runs out of time loses its claims after a minute, and others train them; started again it has a
# part in the same run. To try it on one machine: LAUNCHER=submitit_local.
set -euo pipefail

python -m hsicfast.run -m "$@" "+host=range(${HOSTS:-4})" 'store=${oc.env:HSICFAST_STORE}' \
    hydra/launcher="${LAUNCHER:-submitit_slurm}" \
    hydra.launcher.timeout_min="${MINUTES:-600}" hydra.launcher.cpus_per_task="${CORES:-8}"
