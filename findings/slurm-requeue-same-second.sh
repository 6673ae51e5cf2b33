#!/usr/bin/env bash
# A job that Slurm queued again fails if it may begin in the second in which it was stopped.
#
# Versions: Slurm 22.05.8 (Debian 12: `apt-get install --no-install-recommends slurm-wlm munge`); root or not, no systemd.
#
# `scontrol requeue` stops a job and lets it wait for two minutes. Who has no patience moves its time: `scontrol update job=N
# StartTime=now`. If it is started in the same second, its node takes the new permission for the one that it has just
# withdrawn ("already killed, do not launch batch job"), the controller says "Job credential revoked", and the job is FAILED
# with exit code 1 without a line of its script carried out: neither pending nor requeued again. Permissions are compared by
# whole seconds. Two seconds later it always begins.
#
# Seen on 2026-11-28: of 12 jobs that were queued again when a second had just begun, and whose time was moved as soon as Slurm let it,
#   to now: 12 of 12 failed without beginning again
#   to now+2: 0 of 12
set -euo pipefail
folder=$(mktemp -d)
export SLURM_CONF=$folder/slurm.conf
daemons=()
end() {
    scancel --me 2>/dev/null || true
    sleep 2
    kill "${daemons[@]}" 2>/dev/null || true
    wait
    rm -rf "$folder"
}
trap end EXIT
cd "$folder"
mkdir -m 700 keys
mkdir state n1
head -c 1024 /dev/urandom >keys/key
chmod 400 keys/key
cat >slurm.conf <<CONF
ClusterName=one
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmctldPort=16819
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$folder/keys/socket
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/n1
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=bf_interval=1,sched_interval=1,sched_min_interval=0,batch_sched_delay=0
NodeName=n1 NodeHostname=$(hostname) NodeAddr=127.0.0.1 Port=16820 CPUs=4
PartitionName=all Nodes=n1 Default=YES State=UP
CONF
PATH=$PATH:/usr/sbin
munged --foreground --force --key-file=keys/key --socket="$folder/keys/socket" --pid-file="$folder/keys/pid" \
    --log-file="$folder/keys/log" --seed-file="$folder/keys/seed" 2>/dev/null &
daemons+=($!)
sleep 1
slurmctld -D >ctld.log 2>&1 &
daemons+=($!)
slurmd -D -N n1 >d.log 2>&1 &
daemons+=($!)
until [[ $(sinfo -h -o %T 2>/dev/null) == idle ]]; do sleep 0.5; done

# How many of 12 jobs are over without having begun again when their time is moved to `$1`.
failed() {
    local count=0 job
    for _ in {1..12}; do
        rm -f begun-*
        printf '#!/bin/bash\ntouch %q/begun-"${SLURM_RESTART_COUNT:-0}"\n[[ $SLURM_RESTART_COUNT ]] || sleep 60\n' "$folder" >job.sh
        job=$(sbatch --parsable --requeue --output=/dev/null job.sh)
        until [[ -e begun-0 ]]; do sleep 0.05; done
        # A second has just begun.
        until [[ $(date +%N) == 0[0-3]* ]]; do sleep 0.005; done
        scontrol requeue "$job"
        # While its node cleans up the time cannot be moved, and two minutes later nothing needs to be shown.
        until [[ $(squeue -h -j "$job" -o %T) == PENDING ]]; do sleep 0.01; done
        scontrol update job="$job" StartTime="$1"
        until [[ $(squeue -h -j "$job" -t all -o %T) =~ ^(COMPLETED|FAILED)$ ]]; do sleep 0.1; done
        [[ -e begun-1 ]] || count=$((count + 1))
    done
    echo "$count"
}

at_once=$(failed now)
later=$(failed now+2)
echo "to now: $at_once of 12 failed without beginning again"
echo "to now+2: $later of 12"
grep -h -m1 "already killed, do not launch" d.log
((at_once > 0 && later == 0))
