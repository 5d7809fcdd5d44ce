"""How tools and people name columns: prefixes of exporters, bookkeeping, seeds, metrics. These are data, no rules.

Names are compared in small letters with one underscore between words, so that "Start Time" is ``start_time``.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Convention(NamedTuple):
    """How a tool names the columns that it exports.

    Attributes
    ----------
    tool : str
    settings : str
        Pattern of the prefix of hyperparameters; empty if their names are plain.
    results : str
        Pattern of the beginning of other columns that the tool names after what they hold; empty if there are none.
    own : frozenset of str
        Names of its bookkeeping columns.
    sure : bool
        Whether the prefix alone shows the tool; if not, people name columns so, too, and other signs must agree.
    """

    tool: str
    settings: str
    results: str
    own: frozenset[str]
    sure: bool = True


def _convention(tool: str, settings: str = "", results: str = "", own: str = "", sure: bool = True) -> Convention:
    return Convention(tool, settings, results, frozenset(own.split()), sure)


def words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FILE = r"[\w./\\-]*\.(?:ya?ml|json|toml|py):"
CONVENTIONS = (
    _convention(
        "DVC",
        r"(?:[\w./\\-]*[/\\])?(?:params|param|hparams|config|conf|settings)[\w-]*\.(?:ya?ml|json|toml|py):",
        FILE,
        "experiment rev typ created parent state executor",
    ),
    _convention(
        "scikit-learn",
        "param_",
        r"params$|(?:split\d+|mean|std|rank)_(?:test|train)_|(?:mean|std)_(?:fit|score)_time$",
        "params iter n_resources mean_fit_time std_fit_time mean_score_time std_score_time",
        sure=False,
    ),
    _convention(
        "Optuna",
        "params_",
        r"values?(?:_|$)|user_attrs_|system_attrs_|intermediate_values",
        "number value datetime_start datetime_complete duration state study_name trial_id",
        sure=False,
    ),
    _convention(
        "MLflow",
        r"params\.",
        r"metrics\.|tags\.",
        "run_id experiment_id status artifact_uri start_time end_time run_name source_type source_name user "
        "source_version lifecycle_stage duration models dataset",
    ),
    _convention(
        "Ray or W&B",
        "config/",
        r"summary[/.]|perf/|info/|sampler_results/",
        "trial_id training_iteration done timestamp date pid hostname node_ip time_total_s time_this_iter_s "
        "time_since_restore iterations_since_restore timesteps_total timesteps_since_restore episodes_total logdir "
        "experiment_id experiment_tag checkpoint_dir_name should_checkpoint warmup_time",
    ),
    _convention("W&B", r"config\.", r"summary[/._]|_wandb", ""),
    _convention(
        "syne-tune",
        "config_",
        "st_",
        "trial_id st_decision st_status st_worker_time st_worker_timestamp st_worker_iter st_worker_cost st_tuner_time "
        "elapsed_time",
        sure=False,
    ),
    _convention("Neptune", "parameters/|params/|hyperparameters/", r"sys/|metrics/|monitoring/|source_code/|logs/", ""),
    _convention("Aim", r"(?:run\.)?hparams\.", r"run\.|metrics\.", ""),
    _convention("TensorBoard", "hparams/|hp/", "hparam/|metrics/", "trial_id show_metrics"),
    _convention("Guild", r"=|flags?[./:]", r"scalars?[./:]", "run operation started time status label sourcecode step"),
    _convention("Katib", "--", "", "trialname experiment status starttime completiontime kfp_run"),
    _convention(
        "Ax", "", "", "arm_name trial_index trial_status generation_method generation_node fail_reason is_feasible"
    ),
    _convention("KerasTuner", "", r"metrics/", "trial_id tuner_id best_step score status"),
    _convention("SMAC", "", "", "config_id instance budget additional_info starttime endtime cpu_time"),
    _convention(
        "W&B",
        "",
        "",
        "name state notes user tags created runtime sweep group job_type hostname host id commit github git_commit "
        "gpu_count gpu_type start_time last_seen description sweepname updated relative_time_process url",
    ),
)

# A tool that names hyperparameters plainly is seen by this many of its own columns.
MARKS = 2

# Bookkeeping: columns that say which run a row is, when and where it ran, and what code it ran.
IDENTITIES = _words(
    "id ids uuid guid hash run run_id runid run_uuid run_number run_no trial trial_id trialid trial_number trial_no "
    "trial_index trial_name trialname number index idx row row_id row_number arm arm_name job job_id jobid task_id "
    "experiment experiment_id exp exp_id study_id study_name config_id configuration_id unnamed_0 key sys_id run_hash "
    "sweep_id wandb_id mlflow_run_id process_id pid slurm_job_id array_task_id job_number sample_id"
)
# Words that are settings, too: these are bookkeeping only where they count the rows or name them.
DOUBTFUL = _words("number index key job row idx hash day")
# The identities that name one training: where they repeat, the rows are a log of it.
RUNS = words(
    "trial_id trialid run_id runid run_uuid run_hash sys_id trial_number trial_no trial_index trial_name trialname "
    "run_number run_no arm_name job_id jobid id uuid guid trial run run_name number"
)
PEOPLE = _words(
    "name run_name display_name notes note tags tag comment comments remark remarks description user username author "
    "owner host hostname node node_ip machine device_name server cluster pid github url link logdir log_dir "
    "output_dir out_dir save_dir checkpoint checkpoint_path checkpoint_dir model_path artifact_uri artifact_location "
    "path file filename file_name folder directory dir source source_name source_type source_version entry_point "
    "command cmd script git git_commit git_sha git_hash commit commit_hash commit_id sha rev revision "
    "group job_type sweep project entity lifecycle_stage message traceback error_message exception stdout "
    "stderr"
)
TIMES = _words(
    "date datetime day time_stamp timestamp created created_at createdat updated updated_at start started started_at "
    "start_time starttime end ended ended_at end_time endtime finished_at completed_at datetime_start "
    "datetime_complete completion_time last_seen heartbeat_at submit_time"
)
# What tells repeats of one configuration apart.
SEEDS = _words("seed seeds random_state randomstate random_seed randomseed rng rng_seed np_seed torch_seed")
LABELS = _words("fold fold_id cv_fold kfold replicate replica replication rep repeat repetition repeat_id repeat_no")

# Whole words of a name that say whether large is good; "score" gives way to any word of the other kind.
LARGE_IS_GOOD = _words(
    "accuracy acc auc auroc auprc aupr rocauc rocauroc f1 fscore fmeasure r2 reward rewards return returns precision "
    "recall bleu rouge meteor iou miou map ap dice jaccard psnr ssim mcc kappa specificity sensitivity ndcg mrr "
    "likelihood loglik elbo gain profit sharpe utility correlation corr pearson spearman kendall success winrate hits "
    "hitrate throughput fps silhouette bacc uar"
)
SCORES = frozenset({"score", "scores"})
SMALL_IS_GOOD = _words(
    "loss losses error errors err mse rmse mae mape smape msle rmsle logloss nll nelbo perplexity ppl cost regret risk "
    "brier wer cer fid kid deviance crossentropy ce bce time latency duration runtime seconds elapsed memory distance "
    "divergence kl rank"
)
NEGATED = frozenset({"neg", "negative", "negated", "minus"})

# Words of metrics and measurements, as the last word of a name; as an earlier word they may name a setting.
METRICS = (
    LARGE_IS_GOOD
    | SCORES
    | SMALL_IS_GOOD
    | _words("gpu cpu ram mem flops macs vram energy power_w objective metric wallclock walltime")
) - _words("gain return cost risk distance correlation corr map ap sensitivity utility kl rank ce hits cpu gpu power_w")
DURATIONS = _words("time runtime duration elapsed seconds latency wallclock walltime took hours minutes")
PROGRESS = _words("epoch step iteration iter timestep")
COUNTS = _words("epochs steps iterations iters rounds timesteps episodes")
# Words around the last one that do not change what a column is: "loss_val" is a loss as "val_loss" is.
QUALIFIERS = _words(
    "train training tr val valid validation dev test testing eval evaluation holdout oof cv mean avg average median "
    "std sd sem var min max best last final total sum s ms sec secs second h hr hrs hour min mins minute macro micro "
    "weighted samples top k percent pct value raw ema current now so far at end overall global stopped stop early "
    "stopping it this per batch"
)
# Words that say how a number was measured: a few values of such a column are no settings.
MEASURED = _words(
    "train training val valid validation dev test testing eval evaluation holdout oof cv mean avg average median std "
    "best last final total fit predict inference"
)
# First words that make a setting of the rest: "target_loss", "n_epochs", "lambda_dice".
SETTING = _words(
    "n num number nb no target desired init initial warmup burn burnin freeze unfreeze patience decay stop take limit "
    "use with tolerated tol start every log save lambda lam weight weights w alpha beta coef coeff scale factor margin "
    "threshold tau eps"
)
# The same before a count, though not before a metric: "max_epochs" is set, "max_acc" is measured.
LIMITS = _words("max maximum min minimum total")

KNOWN = METRICS | LARGE_IS_GOOD | SMALL_IS_GOOD | PROGRESS | COUNTS


def normal(name: str) -> str:
    """A name in small letters, with one underscore between words.

    Examples
    --------
    >>> normal("Start Time"), normal("sys/id"), normal("_step")
    ('start_time', 'sys_id', 'step')
    """
    return re.sub(r"[\W_]+", "_", name).strip("_").lower()


def words_of(name: str) -> list[str]:
    """The words of a name in small letters: parts between signs, and parts that begin with a capital.

    Examples
    --------
    >>> words_of("valAcc/top-1"), words_of("mean_test_F1Score"), words_of("mIoU"), words_of("label_smoothing")
    (['val', 'acc', 'top', '1'], ['mean', 'test', 'f1', 'score'], ['miou'], ['label', 'smoothing'])
    """
    words: list[str] = []
    for part in re.split(r"[\W_]+", name):
        low = part.lower()
        found = [low] if low in KNOWN else re.findall(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*|[A-Z]+|\d+", part)
        words += [_known(word.lower()) for word in found]
    return words


def _known(word: str) -> str:
    """The word without a number behind it if that makes it a known one: ``acc5`` is an accuracy."""
    return word if word in KNOWN else bare if (bare := word.rstrip("0123456789")) in KNOWN else word


def large_is_good(name: str) -> bool | None:
    """Whether a name says that large is good (True) or small (False); None if it says neither.

    The last word that says so decides; ``score`` says less than any word for what should be small, and ``neg`` before
    such a word turns it round, as scikit-learn's ``neg_log_loss``.

    Examples
    --------
    >>> [large_is_good(name) for name in ("val_acc", "valLoss", "error_score", "neg_log_loss", "accuracy_loss", "y")]
    [True, False, False, True, False, None]
    """
    words = words_of(name)
    says = [(place, word in LARGE_IS_GOOD) for place, word in enumerate(words) if word in LARGE_IS_GOOD | SMALL_IS_GOOD]
    if not says:
        return True if SCORES & set(words) else None
    if "rank" in words:
        return False
    place, large = says[-1]
    return large != bool(NEGATED & set(words[:place]))
