"""Operations on an app beside its workers: inspection, audits, rebuilds, replays."""
